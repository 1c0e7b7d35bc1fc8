import pytest
from pydantic import ValidationError

from trainer.selection.pairs import PairKind, PairRules, select_pairs
from trainer.selection.searched import Searched
from trainer.selection.solutions import SolutionRules, select_solutions
from trainer.training.data import PairGroup, pair_groups, solution_row
from trainer.trees import ROOT_ID, SearchTree, TreeNode


def node(identity: str, parent: str = ROOT_ID, **fields: object) -> TreeNode:
    return TreeNode(
        **{
            "id": identity,
            "parent": parent,
            "text": f"# Step {identity}",
            "outcome": "open",
            **fields,
        }
    )


def printed(identity: str, parent: str, output: str, correct: bool, **fields: object) -> TreeNode:
    """The end of a solution whose answer is what it printed."""
    return node(
        identity,
        parent,
        outcome="terminal",
        ends_code=True,
        output=output,
        answer=output.strip(),
        correct=correct,
        **fields,
    )


def searched() -> Searched:
    nodes = [
        node("a", q=0.9),
        node("b", q=0.6),
        node("c", q=-0.5),
        node("d", q=-0.7),
        printed("a.", "a", "4\n", True, q=1.0),
        printed("b.", "b", "4\n", True, q=0.8),
        printed("c.", "c", "5\n", False, q=-1.0),
        printed("d.", "d", "6\n", False, q=-0.9),
    ]
    return Searched("p", "2 + 2?", [SearchTree(nodes)])


def test_groups_hold_each_member_once_and_every_pair_of_selection() -> None:
    pairs = select_pairs([searched()], PairRules()).pairs
    assert len(pairs) == 8
    steps, solutions = pair_groups(pairs)
    assert (steps.kind, solutions.kind) == (PairKind.STEP, PairKind.SOLUTION)
    assert (steps.step_index, solutions.step_index) == (1, 0)
    for group in (steps, solutions):
        assert len(group.members) == 4
        assert len(set(group.pairs)) == 4
        for better, worse in group.pairs:
            assert group.members[better].q > group.members[worse].q
    assert [one.correct for one in steps.members] == [None] * 4
    assert [one.correct for one in solutions.members] == [True, False, False, True]


def test_groups_of_one_prefix_in_several_trees_stay_apart() -> None:
    tree = searched().trees[0]
    pairs = select_pairs([Searched("p", "q", [tree, tree])], PairRules()).pairs
    assert [group.kind for group in pair_groups(pairs)].count(PairKind.STEP) == 2


def test_pairs_that_are_no_whole_group_are_refused() -> None:
    pairs = select_pairs([searched()], PairRules()).pairs
    with pytest.raises(ValueError, match="not whole groups"):
        pair_groups(pairs[1:])


def test_a_solution_that_only_prints_gets_its_answer_written() -> None:
    chosen = select_solutions([searched()], SolutionRules(per_problem=1)).chosen[0]
    row = solution_row(chosen)
    assert [one.text for one in row.steps] == ["# Step a", "# Step a.", "\\boxed{4}"]
    assert [one.ends_code for one in row.steps] == [False, True, False]


def test_what_was_printed_is_copied_unless_it_would_be_read_otherwise() -> None:
    def answer(output: str, key: str) -> str:
        tree = SearchTree([printed("a", ROOT_ID, output, True).model_copy(update={"answer": key})])
        chosen = select_solutions([Searched("p", "q", [tree])], SolutionRules()).chosen[0]
        return solution_row(chosen).steps[-1].text

    assert answer("Total: 0.50\n", "1/2") == "\\boxed{0.50}"
    assert answer("{1, 2\n", "7") == "\\boxed{7}"


def test_a_written_answer_stays_as_it_was() -> None:
    tree = SearchTree(
        [
            node("a", ends_code=True, output="4"),
            node("b", "a", text="So \\boxed{4}", outcome="terminal", answer="4", correct=True),
        ]
    )
    chosen = select_solutions([Searched("p", "q", [tree])], SolutionRules()).chosen[0]
    assert solution_row(chosen).steps[-1].text == "So \\boxed{4}"


@pytest.mark.parametrize(("pair", "fault"), [((0, 2), "names no member"), ((1, 1), "itself")])
def test_a_pair_names_two_members(pair: tuple[int, int], fault: str) -> None:
    member = {"steps": [{"text": "x"}], "q": 0}
    with pytest.raises(ValidationError, match=fault):
        PairGroup(problem="p", question="q", kind="step", members=[member, member], pairs=[pair])
