"""Choosing the answer among the finished solutions of a tree; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.search.node import Node
from services.search.tree import Expansion, Guidance, Tree


class AnswerRule(StrEnum):
    """How the answer is chosen."""

    BEST = "best"
    """The answer of the solution with the highest PPM score; without a PPM, of the one whose nodes
    have the highest mean Q."""
    MAJORITY = "majority"
    """The answer that most solutions give."""
    WEIGHTED = "weighted"
    """The answer whose solutions have the largest sum of (1 + PPM score) / 2; without a PPM, as
    majority."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the answers found.

    Attributes:
        answer: the key of its class of equal answers.
        weight: its share of the weight of all answers, 0 to 1.
        trajectories: solutions that end in it, repeated ones counted each time.
        best: the last node of its best solution.
    """

    answer: str
    weight: float
    trajectories: int
    best: Node


def solution_score(tree: Tree, leaf: Node) -> float:
    """How good a finished solution is, -1 to 1: its PPM score or, without one, its mean Q."""
    if tree.config.guidance is Guidance.PPM and leaf.step and leaf.step.ppm_score is not None:
        return leaf.step.ppm_score
    path = leaf.path()
    return sum(tree.q(node) for node in path) / len(path)


def _weight(tree: Tree, leaf: Node, rule: AnswerRule) -> float:
    if rule is AnswerRule.BEST:
        return (1 + solution_score(tree, leaf)) / 2
    if rule is AnswerRule.WEIGHTED and tree.config.guidance is Guidance.PPM:
        return leaf.samples * (1 + solution_score(tree, leaf)) / 2
    return leaf.samples


def rank_answers(tree: Tree, rule: AnswerRule) -> list[Alternative]:
    """All answers of a tree, best first; ties go to the better solution, then to the lesser key.

    Under `best` an answer weighs what its best solution weighs, otherwise the sum over its
    solutions.
    """
    groups: dict[str, list[Node]] = {}
    for leaf in tree.terminals():
        if leaf.step and leaf.step.answer is not None:
            groups.setdefault(leaf.step.answer, []).append(leaf)
    combine = max if rule is AnswerRule.BEST else sum
    weights = {
        answer: combine([_weight(tree, leaf, rule) for leaf in leaves])
        for answer, leaves in groups.items()
    }
    total = sum(weights.values()) or 1.0
    alternatives = [
        Alternative(
            answer=answer,
            weight=weights[answer] / total,
            trajectories=sum(leaf.samples for leaf in leaves),
            best=max(leaves, key=lambda leaf: (solution_score(tree, leaf), leaf.visits, leaf.id)),
        )
        for answer, leaves in groups.items()
    ]
    return sorted(
        alternatives,
        key=lambda one: (-one.weight, -solution_score(tree, one.best), one.answer),
    )


def is_settled(
    tree: Tree, ranked: Sequence[Alternative], rule: AnswerRule, rollouts_left: int
) -> bool:
    """Whether no rollout that is left could change the answer.

    Only a majority of whole trajectories allows that conclusion: there, a rollout is one vote. The
    leader must keep its place even if all that is left goes to the second.
    """
    countable = rule is AnswerRule.MAJORITY or (
        rule is AnswerRule.WEIGHTED and tree.config.guidance is not Guidance.PPM
    )
    if not countable or tree.config.expansion is not Expansion.TRAJECTORY or not ranked:
        return False
    second = ranked[1].trajectories if len(ranked) > 1 else 0
    return ranked[0].trajectories - second > rollouts_left
