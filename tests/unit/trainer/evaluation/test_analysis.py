import pytest

from trainer.evaluation.analysis import analyse, calibration_error, reliability, revises
from trainer.trees import ROOT_ID, SearchTree, Trajectory, TreeNode


def node(identity: str, parent: str, outcome: str, text: str = "", **more: object) -> TreeNode:
    return TreeNode(id=identity, parent=parent, text=text, outcome=outcome, **more)


def solution(*texts: str) -> Trajectory:
    return Trajectory(tuple(node(str(i), ROOT_ID, "open", text) for i, text in enumerate(texts)))


def test_shares_are_counted_over_all_trees() -> None:
    first = SearchTree(
        [
            node("a", ROOT_ID, "open"),
            node("b", ROOT_ID, "failed"),
            node("aa", "a", "terminal", answer="1", correct=True, ppm_score=0.9),
            node("ab", "a", "terminal", answer="2", correct=False, ppm_score=0.8),
        ]
    )
    second = SearchTree(
        [
            node("a", ROOT_ID, "open"),
            node("aa", "a", "failed"),
            node("ab", "a", "limit"),
            node("c", ROOT_ID, "terminal", answer="3", correct=True, ppm_score=-1.0),
        ]
    )
    found = analyse([[first], [second]])
    assert found.problems == 2
    assert (found.nodes, found.failed_steps, found.cut_steps) == (8, 0.25, 0.125)
    assert found.dead_ends == 0.25  # of two roots and two nodes "a", the second "a" leads nowhere
    assert found.depth == pytest.approx(5 / 3)
    assert found.unique_answers == 1.5
    assert (found.solutions, found.correct_solutions) == (3, pytest.approx(2 / 3))
    assert [one.n for one in found.reliability] == [1, 2]


def test_no_tree_has_no_shares() -> None:
    found = analyse([])
    assert (found.nodes, found.failed_steps, found.corrected_right) == (0, 0.0, None)
    assert found.calibration_error is None


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("# Step 1: a\nx = 1", "# Step 2: b\ny = x + 1"), False),
        (("# Step 1: a\nx = 1", "# Step 2: b\nx = x + 1"), False),
        (("# Step 1: a\nx = 1", "# Step 2: b\nx += 1"), False),
        (("# Step 1: a\nx = 1\nx = 2",), False),
        (("# Step 1: a\nx = 1", "# Step 2: count again\nx = 2"), True),
        (("# Step 1: a\nx = 1", "# Step 2: Wait, that is a mistake\ny = 2"), True),
        (("# Step 1: what is wrong with it?\nx = 1",), False),
        (("# Step 1: a\nx = 1", "The answer is \\\\boxed{1}. Not = code"), False),
    ],
)
def test_a_solution_revises_itself_by_the_stated_rule(
    texts: tuple[str, ...], expected: bool
) -> None:
    assert revises(solution(*texts)) is expected


def test_perfect_predictions_have_no_calibration_error() -> None:
    bins = reliability([(1.0, True), (1.0, True), (-1.0, False)])
    assert [(one.n, one.predicted, one.right) for one in bins] == [(1, 0.0, 0.0), (2, 1.0, 1.0)]
    assert calibration_error(bins) == 0.0


def test_the_calibration_error_weighs_bins_by_their_size() -> None:
    bins = reliability([(1.0, False), (1.0, True), (1.0, True), (-1.0, True)])
    assert calibration_error(bins) == pytest.approx((1 * 1.0 + 3 * (1 / 3)) / 4)
