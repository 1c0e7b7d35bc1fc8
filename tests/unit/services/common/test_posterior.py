"""The posterior of a majority, against exact sums and against simulation."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.posterior import incomplete_beta, majority_posterior


def exact(first: int, second: int) -> Fraction:
    """P(p > 1/2) for Beta(first + 1, second + 1), by the binomial sum for whole counts."""
    n = first + second + 1
    return Fraction(sum(math.comb(n, j) for j in range(second + 1, n + 1)), 2**n)


@given(first=st.integers(0, 300), second=st.integers(0, 300))
def test_whole_votes_agree_with_the_exact_sum(first: int, second: int) -> None:
    expected = float(exact(first, second))
    assert majority_posterior(first, second) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(x=st.floats(0.01, 0.99), a=st.floats(0.1, 500), b=st.floats(0.1, 500))
def test_a_distribution_function_rises_from_0_to_1_and_is_symmetric(
    x: float, a: float, b: float
) -> None:
    value = incomplete_beta(x, a, b)
    assert -1e-12 <= value <= 1 + 1e-12
    assert value <= incomplete_beta(min(x + 0.005, 0.995), a, b) + 1e-12
    assert value == pytest.approx(1 - incomplete_beta(1 - x, b, a), abs=1e-10)


@pytest.mark.parametrize(("first", "second"), [(3, 0), (5, 2), (2.5, 1.25), (12, 9)])
def test_it_is_the_share_of_draws_above_a_half(first: float, second: float) -> None:
    rng, draws = random.Random(7), 40_000
    above = sum(rng.betavariate(first + 1, second + 1) > 0.5 for _ in range(draws))
    # Five standard errors of a share.
    assert majority_posterior(first, second) == pytest.approx(above / draws, abs=2.5 / draws**0.5)
