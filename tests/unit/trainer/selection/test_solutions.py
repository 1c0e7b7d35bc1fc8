from trainer.selection.searched import Difficulty, Searched
from trainer.selection.solutions import SolutionRules, bare, best, select_solutions, spared_easy
from trainer.trees import ROOT_ID, SearchTree, Trajectory, TreeNode


def step(
    identity: str,
    q: float = 0.0,
    *,
    parent: str = ROOT_ID,
    correct: bool | None = None,
    text: str = "",
    samples: int = 1,
    tokens: int = 10,
) -> TreeNode:
    return TreeNode(
        id=identity,
        parent=parent,
        text=text or f"x = '{identity}'",
        outcome="open" if correct is None else "terminal",
        answer=None if correct is None else "1",
        correct=correct,
        q=q,
        samples=samples,
        tokens=tokens,
    )


def searched(identity: str, *nodes: TreeNode) -> Searched:
    return Searched(identity, f"question {identity}", [SearchTree(nodes)])


def test_the_two_best_right_solutions_of_a_problem_are_chosen() -> None:
    problem = searched(
        "p",
        step("a", 0.9),
        step("aa", 0.7, parent="a", correct=True),
        step("ab", 0.9, parent="a", correct=True),
        step("b", 0.2, correct=True),
        step("c", 1.0, correct=False),
    )
    found = select_solutions([problem], SolutionRules())
    assert [one.solution.leaf.id for one in found.chosen] == ["ab", "aa"]
    assert found.dropped["wrong answer"] == 1
    assert found.dropped["not among the best"] == 1
    assert found.chosen[0].difficulty is Difficulty.EASY


def test_equal_means_are_told_apart_by_the_lowest_q() -> None:
    steady = Trajectory((step("a", 0.5), step("b", 0.5)))
    wild = Trajectory((step("c", 1.0), step("d", 0.0)))
    assert best([wild, steady], 2) == [steady, wild]


def test_what_reads_the_same_is_learnt_once() -> None:
    problem = searched(
        "p",
        step("a", correct=True, text="# Step 1: add\nx = 1+1"),
        step("b", correct=True, text="# Step 1: sum up\nx = 1 + 1  # two"),
        step("c", correct=True, text="# Step 1: add\nx = 2"),
    )
    found = select_solutions([problem], SolutionRules())
    assert len(found.chosen) == 2
    assert found.dropped["written before"] == 1
    assert bare("no code at all") == "no code at all"


def test_solutions_that_are_too_long_are_dropped() -> None:
    problem = searched(
        "p",
        step("a", tokens=60),
        step("b", parent="a", correct=True, tokens=41),
        step("c", parent="a", correct=True, tokens=40),
    )
    found = select_solutions([problem], SolutionRules(max_tokens=100))
    assert [one.solution.leaf.id for one in found.chosen] == ["c"]
    assert found.dropped["too long"] == 1


def test_easy_problems_are_kept_in_proportion() -> None:
    easy = [searched(f"e{i}", step("a", correct=True)) for i in range(5)]
    hard = [searched(f"h{i}", step("a", correct=False)) for i in range(2)]
    spared = spared_easy([*easy, *hard], 1.5)
    assert len(spared) == 2
    assert spared == spared_easy([*hard, *reversed(easy)], 1.5)
    assert spared_easy([*easy, *hard], 0) == set()
    found = select_solutions([*easy, *hard], SolutionRules(easy_per_other=1.5))
    assert len(found.chosen) == 3
    assert found.dropped["easy problem beyond the balance"] == 2


def test_difficulty_counts_solutions_as_often_as_they_were_drawn() -> None:
    often = searched("p", step("a", correct=True, samples=3), step("b", correct=False))
    once = searched("p", step("a", correct=True), step("b", correct=False))
    assert (often.difficulty, once.difficulty) == (Difficulty.EASY, Difficulty.MEDIUM)
    assert searched("p", step("a")).difficulty is Difficulty.HARD


def test_trees_of_several_seeds_are_taken_together() -> None:
    trees = [SearchTree([step("a", 0.1, correct=True)]), SearchTree([step("b", 0.9, correct=True)])]
    found = select_solutions([Searched("p", "q", trees)], SolutionRules(per_problem=1))
    assert [one.solution.leaf.id for one in found.chosen] == ["b"]
