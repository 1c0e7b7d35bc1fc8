"""Preference pairs for the PPM (section 3.3, and figure 2 of the paper).

Q-values are too rough to be learnt as scores, but good enough to tell steps that lead to right
answers from those that lead to wrong ones. So pairs are built, and a ranking is learnt.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from trainer.selection.searched import Searched
from trainer.trees import ROOT_ID, SearchTree, Trajectory, TreeNode


class PairKind(StrEnum):
    """What is compared."""

    STEP = "step"
    """Next steps after the same steps."""
    SOLUTION = "solution"
    """Whole solutions of one problem: the same steps rarely lead to different answers, so for the
    last step the paper gives up the common prefix."""


@dataclass(frozen=True, slots=True)
class PairRules:
    """How pairs are built.

    Attributes:
        per_side: most preferred and most rejected members of a group; 2 in the paper.
        alone_against: where one side has a single member, most members of the other; 4 in the
            reference code, which the paper does not mention. At least `per_side`.
        min_margin: least difference of Q between two members that are paired; the paper asks for
            any, the reference code for 0.5.
        min_edits: least number of characters that differ between them.
        last_steps: whether a step that ends a solution may stand in a group of steps.
    """

    per_side: int = 2
    alone_against: int = 4
    min_margin: float = 0.0
    min_edits: int = 0
    last_steps: bool = False


T = TypeVar("T")

Member = tuple[TreeNode, ...]
"""One step, or all steps of a solution."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A preferred and a rejected continuation of one prefix.

    Attributes:
        problem: id of the problem.
        question: the problem.
        kind: see PairKind.
        prefix: the steps before; empty for whole solutions.
        preferred, rejected: what follows.
        margin: difference of their Q-values (means over the steps, for solutions).
        weight: 1 / pairs in its group, so that a group counts once (equation 4).
    """

    problem: str
    question: str
    kind: PairKind
    prefix: Member
    preferred: Member
    rejected: Member
    margin: float
    weight: float


@dataclass(slots=True)
class PairSet:
    """The pairs, and how many candidates for pairs each rule dropped."""

    pairs: list[Pair] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def select_pairs(problems: Sequence[Searched], rules: PairRules) -> PairSet:
    """Build the pairs of all problems; those all right or all wrong have none."""
    found = PairSet()
    for problem in problems:
        verdicts = {one.correct for one in problem.trajectories}
        if len(verdicts) < 2:
            found.dropped[_one_sided(verdicts)] += 1
            continue
        for tree in problem.trees:
            for prefix, preferred, rejected in step_groups(tree, rules):
                _add(found, problem, PairKind.STEP, prefix, preferred, rejected, rules)
        sides = solution_group(problem.trajectories, rules)
        _add(found, problem, PairKind.SOLUTION, (), *sides, rules)
    return found


def _one_sided(verdicts: set[bool]) -> str:
    if not verdicts:
        return "problem: no solution"
    return "problem: all right" if True in verdicts else "problem: all wrong"


def step_groups(
    tree: SearchTree, rules: PairRules
) -> Iterator[tuple[Member, list[Member], list[Member]]]:
    """Prefix, preferred and rejected next steps at each node where the two can be told apart.

    Preferred are the steps of the highest Q that reach a right answer, rejected those of the lowest
    Q that reach a wrong one. A step that does both may stand on either side, never on both.
    """
    reached = _reached(tree)
    for identity in (ROOT_ID, *tree.nodes):
        children = [
            child
            for child in tree.children(identity)
            if child.outcome == "open" or (rules.last_steps and child.outcome == "terminal")
        ]
        good = sorted((c for c in children if True in reached[c.id]), key=lambda c: (-c.q, c.id))
        bad = sorted((c for c in children if False in reached[c.id]), key=lambda c: (c.q, c.id))
        preferred, rejected = _sides(good, bad, rules, lambda node: node.id)
        if preferred and rejected:
            prefix = tree.path(identity)
            yield prefix, [(node,) for node in preferred], [(node,) for node in rejected]


def solution_group(
    solutions: Sequence[Trajectory], rules: PairRules
) -> tuple[list[Member], list[Member]]:
    """The right solutions of the highest mean Q, and the wrong ones of the lowest."""
    good = sorted((s for s in solutions if s.correct), key=lambda s: (-s.mean_q, s.leaf.id))
    bad = sorted((s for s in solutions if not s.correct), key=lambda s: (s.mean_q, s.leaf.id))
    preferred, rejected = _sides(good, bad, rules, lambda solution: solution.leaf.id)
    return [one.nodes for one in preferred], [one.nodes for one in rejected]


def _sides(
    good: Sequence[T], bad: Sequence[T], rules: PairRules, name: Callable[[T], str]
) -> tuple[list[T], list[T]]:
    """The best of one and the worst of the other, without a common member."""
    preferred = list(good[: rules.per_side])
    taken = {name(one) for one in preferred}
    rejected = [one for one in bad if name(one) not in taken]
    if len(preferred) == 1:
        return preferred, rejected[: rules.alone_against]
    rejected = rejected[: rules.per_side]
    if len(rejected) == 1:
        others = [one for one in good if name(one) != name(rejected[0])]
        return others[: rules.alone_against], rejected
    return preferred, rejected


def _reached(tree: SearchTree) -> dict[str, set[bool]]:
    """For each node, whether right and wrong answers were found at or below it."""
    reached: dict[str, set[bool]] = {identity: set() for identity in tree.nodes}
    for solution in tree.trajectories():
        for node in solution.nodes:
            reached[node.id].add(solution.correct)
    return reached


def _add(
    found: PairSet,
    problem: Searched,
    kind: PairKind,
    prefix: Member,
    preferred: Sequence[Member],
    rejected: Sequence[Member],
    rules: PairRules,
) -> None:
    """Pair the two sides of a group, but for those too much alike."""
    kept = []
    for good in preferred:
        for bad in rejected:
            margin = _value(good) - _value(bad)
            if margin <= 0 or margin < rules.min_margin:
                found.dropped[f"{kind}: margin"] += 1
            elif rules.min_edits and _edits(good, bad) < rules.min_edits:
                found.dropped[f"{kind}: too much alike"] += 1
            else:
                kept.append((good, bad, margin))
    found.pairs += [
        Pair(problem.id, problem.question, kind, prefix, good, bad, margin, 1 / len(kept))
        for good, bad, margin in kept
    ]


def _value(member: Member) -> float:
    return sum(node.q for node in member) / len(member)


def _edits(one: Member, other: Member) -> int:
    """Characters to delete and insert to make one text of the other."""
    first, second = ("\n".join(node.text for node in member) for member in (one, other))
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return len(first) + len(second) - 2 * same
