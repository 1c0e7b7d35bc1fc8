"""Intervals and tests for shares of problems solved; pure."""

import math

_Z95 = 1.959963984540054  # 97.5 % quantile of the normal distribution


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927), 0 to 1; (0, 1) for no trials."""
    if not 0 <= successes <= trials:
        raise ValueError(f"successes: 0 to {trials}, not {successes}")
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    spread = _Z95**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test.

    Args:
        only_first: problems that the first method alone solved.
        only_second: problems that the second method alone solved.

    Returns:
        The probability, were both equally good, of a split at least this uneven; 1 for no split.
    """
    if min(only_first, only_second) < 0:
        raise ValueError("counts of problems must not be negative")
    trials = only_first + only_second
    tail = sum(math.comb(trials, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << trials))


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Unbiased estimate that at least one of k independent samples is right (Chen et al. 2021).

    Args:
        samples: independent samples of one problem; at least k.
        right: how many of them are right.
        k: at least 1.

    Returns:
        1 - C(samples - right, k) / C(samples, k), 0 to 1.
    """
    if not 1 <= k <= samples or not 0 <= right <= samples:
        raise ValueError(f"pass@{k} of {samples} samples, {right} of them right")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)
