"""What the trainers read: solutions to be learnt and groups of preference pairs, one a row.

A row is the same object in JSON lines and in parquet; docs/training.md has the schema. What
selection found becomes rows by `solution_row` and `pair_groups`.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.common.answer_step import answer_step
from services.common.steps import Step
from trainer.selection.pairs import Member as Nodes
from trainer.selection.pairs import Pair, PairKind
from trainer.selection.solutions import ChosenSolution
from trainer.trees import TreeNode


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepRow(_Fields):
    """A step as services.common.steps.Step has it."""

    text: str = Field(min_length=1)
    ends_code: bool = False
    output: str = ""

    @property
    def step(self) -> Step:
        """As the grammar takes it."""
        return Step(self.text, self.ends_code, self.output)


class Row(_Fields):
    """What every row has.

    Attributes:
        problem: id of the problem, by which training and held-out rows are told apart.
        question: the problem.
    """

    problem: str = Field(min_length=1)
    question: str = Field(min_length=1)


class SolutionRow(Row):
    """A solution that the policy is to learn.

    Attributes:
        difficulty: of the problem, as selection named it; empty where unknown.
        steps: the whole solution.
    """

    difficulty: str = ""
    steps: tuple[StepRow, ...] = Field(min_length=1)


class MemberRow(_Fields):
    """One continuation of a group's prefix.

    Attributes:
        steps: one step, or all steps of a solution.
        q: Q-value of its last step, -1 to 1.
        correct: for a whole solution, whether its answer is right; None for a step.
    """

    steps: tuple[StepRow, ...] = Field(min_length=1)
    q: float = Field(ge=-1, le=1, allow_inf_nan=False)
    correct: bool | None = None


class PairGroup(Row):
    """Continuations of one prefix, and which is preferred to which.

    Attributes:
        kind: next steps, or whole solutions.
        prefix: the steps before; empty for whole solutions.
        members: the distinct continuations.
        pairs: indices of the preferred and the rejected member of each pair.
    """

    kind: PairKind
    prefix: tuple[StepRow, ...] = ()
    members: tuple[MemberRow, ...] = Field(min_length=2)
    pairs: tuple[tuple[int, int], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _pairs_members(self) -> "PairGroup":
        for better, worse in self.pairs:
            if not 0 <= min(better, worse) <= max(better, worse) < len(self.members):
                raise ValueError(f"pair ({better}, {worse}) names no member")
            if better == worse:
                raise ValueError(f"pair ({better}, {worse}) compares a member with itself")
        return self

    @property
    def step_index(self) -> int:
        """Which step of a solution the members end in: 1 for first steps; 0 for whole solutions."""
        return 0 if self.kind is PairKind.SOLUTION else len(self.prefix) + 1


def solution_row(chosen: ChosenSolution) -> SolutionRow:
    """A chosen solution as a row, its answer written out."""
    return SolutionRow(
        problem=chosen.problem,
        question=chosen.question,
        difficulty=str(chosen.difficulty),
        steps=_solution(chosen.solution.nodes),
    )


def pair_groups(pairs: Sequence[Pair]) -> list[PairGroup]:
    """The groups that selection's pairs belong to, in their order.

    Pairs of one group stand side by side, and each weighs 1 / pairs of its group. Solutions that
    end in their code get an answer step, as they do where the search asks for their scores.

    Args:
        pairs: of trainer.selection.select_pairs.

    Raises:
        ValueError: the pairs are not whole groups.
    """
    groups = []
    start = 0
    while start < len(pairs):
        size = round(1 / pairs[start].weight)
        groups.append(_group(pairs[start : start + size], size))
        start += size
    return groups


def _group(pairs: Sequence[Pair], size: int) -> PairGroup:
    first = pairs[0]
    heads = {(one.problem, one.kind, tuple(node.id for node in one.prefix)) for one in pairs}
    if len(heads) > 1 or len(pairs) != size:
        raise ValueError(f"the pairs of problem {first.problem!r} are not whole groups")
    members: dict[tuple[str, ...], Nodes] = {}
    for pair in pairs:
        for member in (pair.preferred, pair.rejected):
            members.setdefault(_name(member), member)
    places = {name: place for place, name in enumerate(members)}
    return PairGroup(
        problem=first.problem,
        question=first.question,
        kind=first.kind,
        prefix=tuple(_step(node) for node in first.prefix),
        members=tuple(_member(member, first.kind) for member in members.values()),
        pairs=tuple((places[_name(p.preferred)], places[_name(p.rejected)]) for p in pairs),
    )


def _name(member: Nodes) -> tuple[str, ...]:
    return tuple(node.id for node in member)


def _member(nodes: Nodes, kind: PairKind) -> MemberRow:
    last = nodes[-1]
    return MemberRow(
        steps=_solution(nodes) if last.outcome == "terminal" else tuple(map(_step, nodes)),
        q=max(-1.0, min(1.0, last.q)),
        correct=last.correct if kind is PairKind.SOLUTION else None,
    )


def _solution(nodes: Sequence[TreeNode]) -> tuple[StepRow, ...]:
    """The steps, and a written answer after those that end in their code."""
    steps = tuple(_step(node) for node in nodes)
    leaf = nodes[-1]
    if not leaf.ends_code:
        return steps
    return (*steps, StepRow(text=answer_step(leaf.output, leaf.answer or "").text))


def _step(node: TreeNode) -> StepRow:
    return StepRow(text=node.text, ends_code=node.ends_code, output=node.output)
