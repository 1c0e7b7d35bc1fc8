import pytest

from trainer.trees import ROOT_ID, SearchTree, TreeNode


def node(identity: str, parent: str = ROOT_ID, outcome: str = "open", **more: object) -> TreeNode:
    return TreeNode(id=identity, parent=parent, text=f"# {identity}", outcome=outcome, **more)


@pytest.fixture
def tree() -> SearchTree:
    return SearchTree(
        [
            node("ab", "a", "terminal", answer="1", correct=True, q=1.0),
            node("a", q=0.5),
            node("b", outcome="failed"),
            node("ac", "a", "terminal", answer="2", correct=False, q=-1.0),
        ]
    )


def test_paths_run_from_the_first_step(tree: SearchTree) -> None:
    assert [one.id for one in tree.path("ab")] == ["a", "ab"]
    assert tree.path(ROOT_ID) == ()
    assert tree.depths == {"a": 1, "b": 1, "ab": 2, "ac": 2}
    assert {one.id for one in tree.leaves()} == {"ab", "b", "ac"}


def test_trajectories_are_the_finished_solutions(tree: SearchTree) -> None:
    right, wrong = tree.trajectories()
    assert (right.answer, right.correct, right.mean_q, right.min_q) == ("1", True, 0.75, 0.5)
    assert (wrong.answer, wrong.correct, wrong.mean_q, wrong.min_q) == ("2", False, -0.25, -1.0)


@pytest.mark.parametrize(
    ("nodes", "complaint"),
    [
        ([node("a"), node("a")], "used twice"),
        ([node(ROOT_ID)], "used twice"),
        ([node("a", "x")], "its parent x is missing"),
        ([node("a", "b"), node("b", "a")], "circle"),
    ],
)
def test_what_is_no_tree_is_refused(nodes: list[TreeNode], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SearchTree(nodes)
