import pytest

from tests.support.training import steps_group
from trainer.selection.pairs import PairKind
from trainer.training.data import StepRow
from trainer.training.measures import calibration, measure, pair_accuracy

STEP = steps_group("p", "good", "bad")
SECOND = STEP.model_copy(update={"prefix": (StepRow(text="before"),)})
WHOLE = steps_group("p", "right", "wrong", kind=PairKind.SOLUTION)


def test_pairs_in_order_are_counted_by_kind_and_by_step() -> None:
    found = pair_accuracy(
        [(STEP, [1, 0]), (STEP, [0, 1]), (SECOND, [5, -5]), (WHOLE, [2, 2]), (WHOLE, [2, 1])]
    )
    assert found == {
        "pair_accuracy": 0.7,
        "step_pair_accuracy": pytest.approx(2 / 3),
        "solution_pair_accuracy": 0.75,
        "pairs": 5,
        "pair_accuracy_by_step": {
            "1": {"pairs": 2, "accuracy": 0.5},
            "2": {"pairs": 1, "accuracy": 1.0},
        },
    }


def test_scores_are_held_against_what_is_right() -> None:
    found = calibration([(WHOLE, [0.0, 0.0]), (WHOLE, [100.0, -100.0])], scale=5)
    assert found["brier"] == pytest.approx((0.25 + 0.25 + 0 + 0) / 4)
    assert found["calibration_error"] == pytest.approx(0)
    assert [row["solutions"] for row in found["calibration"]] == [1, 2, 1]
    wrong = calibration([(WHOLE, [-100.0, 100.0])], scale=5)
    assert wrong["brier"] == pytest.approx(1)
    assert wrong["calibration_error"] == pytest.approx(1)


def test_steps_alone_have_no_calibration() -> None:
    assert "brier" not in measure([(STEP, [1, 0])], 5)
