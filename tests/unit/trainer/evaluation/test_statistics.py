import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.statistics import mcnemar_exact, pass_at_k, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_matches_published_intervals(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share_and_mirrors(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = wilson(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, trials)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (0, 5, 0.0625),
        (5, 0, 0.0625),
        (2, 10, 158 / 4096),
        (6, 16, 0.0524787),
    ],
)
def test_mcnemar_matches_the_binomial_distribution(
    only_first: int, only_second: int, p_value: float
) -> None:
    assert mcnemar_exact(only_first, only_second) == pytest.approx(p_value, abs=1e-6)


def test_mcnemar_takes_many_problems() -> None:
    assert mcnemar_exact(0, 5000) == 0.0
    assert math.isclose(mcnemar_exact(2500, 2500), 1.0)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 2)


def test_pass_at_k_is_the_chance_that_a_draw_without_replacement_holds_a_right_one() -> None:
    samples = [True, True, False, False, False]
    for k in range(1, 6):
        draws = list(itertools.combinations(samples, k))
        expected = sum(any(draw) for draw in draws) / len(draws)
        assert pass_at_k(5, 2, k) == pytest.approx(expected)


@pytest.mark.parametrize(("samples", "right", "k"), [(4, 5, 1), (4, 1, 5), (4, 1, 0), (4, -1, 1)])
def test_pass_at_k_of_impossible_counts_is_refused(samples: int, right: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(samples, right, k)
