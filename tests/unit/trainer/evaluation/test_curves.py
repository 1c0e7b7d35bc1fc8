import pytest

from trainer.evaluation.curves import majority_at_k, powers
from trainer.evaluation.stopping import NO_ANSWER, Poll

RIGHT = frozenset(["1"])


def test_powers_end_with_the_most() -> None:
    assert powers(16) == [1, 2, 4, 8, 16]
    assert powers(6) == [1, 2, 4, 6]
    assert powers(1) == [1]


def test_a_vote_of_one_is_a_sample_and_of_all_the_majority() -> None:
    poll = Poll(("1", "1", "1", "2", NO_ANSWER, NO_ANSWER, NO_ANSWER, "3"), RIGHT)
    found = majority_at_k([poll] * 200, 8)
    assert found[1] == pytest.approx(3 / 8, abs=0.02)
    assert found[1] < found[4] < found[8] == 1.0


def test_samples_without_an_answer_never_win() -> None:
    assert majority_at_k([Poll((NO_ANSWER, NO_ANSWER, "1"), RIGHT)], 3)[3] == 1.0
    assert majority_at_k([Poll((NO_ANSWER, NO_ANSWER), frozenset())], 2) == {1: 0.0, 2: 0.0}
    assert majority_at_k([], 4) == {}
