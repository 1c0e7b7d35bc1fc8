"""The probability that a majority is the true one; pure mathematics."""

import math

# The fraction needs about the square root of a and b many terms; counts are far below its square.
_MOST_TERMS = 10_000


def majority_posterior(first: float, second: float) -> float:
    """P(p > 1/2) for p distributed as Beta(first + 1, second + 1), from first >= second >= 0."""
    return incomplete_beta(0.5, second + 1.0, first + 1.0)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for 0 < x < 1 and a, b > 0.

    By its continued fraction (Abramowitz and Stegun 26.5.8) where that converges fast, and by
    I_x(a, b) = 1 - I_{1-x}(b, a) elsewhere.
    """
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(1 - x, b, a)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a
    return front * _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))), by the modified Lentz method."""
    tiny = 1e-300
    value, c, d = tiny, tiny, 0.0
    for m in range(_MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) if m else 1.0
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd):
            d = 1.0 / ((1.0 + term * d) or tiny)
            c = (1.0 + term / c) or tiny
            change = c * d
            value *= change
        if abs(change - 1.0) < 1e-14:
            break
    return value
