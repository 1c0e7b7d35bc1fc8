import pytest

from trainer.selection.pairs import PairKind, PairRules, select_pairs, step_groups
from trainer.selection.searched import Searched
from trainer.trees import ROOT_ID, SearchTree, TreeNode


def step(
    identity: str, q: float, parent: str = ROOT_ID, correct: bool | None = None, text: str = ""
) -> TreeNode:
    return TreeNode(
        id=identity,
        parent=parent,
        text=text or f"step {identity}",
        outcome="open" if correct is None else "terminal",
        correct=correct,
        q=q,
    )


def group(tree: SearchTree, rules: PairRules | None = None) -> tuple[list[str], list[str]]:
    ((_, preferred, rejected),) = list(step_groups(tree, rules or PairRules()))
    return [one[0].id for one in preferred], [one[0].id for one in rejected]


def with_ends(*first_steps: tuple[str, float, bool]) -> SearchTree:
    """First steps with their Q, each with one end that is right or wrong."""
    nodes = [step(name, q) for name, q, _ in first_steps]
    ends = [step(f"{name}.", 0, name, correct) for name, _, correct in first_steps]
    return SearchTree([*nodes, *ends])


def test_the_two_best_that_reach_right_answers_meet_the_two_worst_that_reach_wrong_ones() -> None:
    tree = with_ends(
        ("a", 0.9, True), ("b", 0.5, True), ("c", 0.7, True),
        ("d", -0.2, False), ("e", -0.9, False), ("f", -0.5, False),
    )  # fmt: skip
    assert group(tree) == (["a", "c"], ["e", "f"])


def test_a_single_one_meets_up_to_four_others() -> None:
    good = with_ends(("a", 0.9, True), *((f"w{i}", -i / 10, False) for i in range(6)))
    assert group(good) == (["a"], ["w5", "w4", "w3", "w2"])
    bad = with_ends(("z", -0.9, False), *((f"r{i}", i / 10, True) for i in range(6)))
    assert group(bad) == (["r5", "r4", "r3", "r2"], ["z"])


def test_a_step_that_reaches_both_stands_on_one_side_only() -> None:
    tree = SearchTree(
        [
            step("a", 0.4),
            step("a1", 1, "a", True),
            step("a2", -1, "a", False),
            step("b", -0.8),
            step("b1", -1, "b", False),
        ]
    )
    assert group(tree) == (["a"], ["b"])


def test_prefixes_are_the_steps_before() -> None:
    tree = SearchTree(
        [
            step("p", 0.1),
            step("a", 0.5, "p"),
            step("b", -0.5, "p"),
            step("a.", 1, "a", True),
            step("b.", -1, "b", False),
        ]
    )
    ((prefix, _, _),) = list(step_groups(tree, PairRules()))
    assert [one.id for one in prefix] == ["p"]


def test_ends_are_compared_as_whole_solutions_unless_asked_for() -> None:
    tree = SearchTree([step("r", 1, correct=True), step("w", -1, correct=False)])
    assert list(step_groups(tree, PairRules())) == []
    assert group(tree, PairRules(last_steps=True)) == (["r"], ["w"])


def problem(*nodes: TreeNode) -> Searched:
    return Searched("p", "q", [SearchTree(nodes)])


def test_solutions_are_paired_by_their_mean_q() -> None:
    searched = problem(
        step("a", 0.8),
        step("a1", 1.0, "a", True),
        step("b", 0.2, correct=True),
        step("c", 0.6, correct=True),
        step("d", -0.5, correct=False),
        step("e", -0.1, correct=False),
        step("f", 0.4, correct=False),
    )
    found = select_pairs([searched], PairRules())
    assert {one.kind for one in found.pairs} == {PairKind.SOLUTION}
    ends = {(one.preferred[-1].id, one.rejected[-1].id) for one in found.pairs}
    assert ends == {("a1", "d"), ("a1", "e"), ("c", "d"), ("c", "e")}
    assert all(one.prefix == () for one in found.pairs)
    assert sum(one.weight for one in found.pairs) == pytest.approx(1)


def test_pairs_without_a_margin_are_dropped_and_counted() -> None:
    searched = problem(step("a", 0.1, correct=True), step("b", 0.3, correct=False))
    found = select_pairs([searched], PairRules())
    assert found.pairs == []
    assert found.dropped["solution: margin"] == 1
    wide = problem(step("a", 0.6, correct=True), step("b", 0.3, correct=False))
    assert len(select_pairs([wide], PairRules()).pairs) == 1
    assert select_pairs([wide], PairRules(min_margin=0.5)).pairs == []


def test_pairs_too_much_alike_are_dropped_and_counted() -> None:
    searched = problem(
        step("a", 1, correct=True, text="print(12)"), step("b", -1, correct=False, text="print(13)")
    )
    assert select_pairs([searched], PairRules(min_edits=2)).pairs
    found = select_pairs([searched], PairRules(min_edits=3))
    assert (found.pairs, found.dropped["solution: too much alike"]) == ([], 1)


def test_problems_all_right_or_all_wrong_have_no_pairs() -> None:
    right = problem(step("a", 1, correct=True), step("b", 0, correct=True))
    wrong = problem(step("a", -1, correct=False))
    none = problem(step("a", 0))
    found = select_pairs([right, wrong, none], PairRules())
    assert found.pairs == []
    assert found.dropped == {
        "problem: all right": 1,
        "problem: all wrong": 1,
        "problem: no solution": 1,
    }


def test_steps_of_every_tree_of_a_problem_are_paired() -> None:
    tree = with_ends(("a", 0.9, True), ("b", -0.9, False))
    found = select_pairs([Searched("p", "q", [tree, tree])], PairRules())
    assert [one.kind for one in found.pairs].count(PairKind.STEP) == 2
