"""Choosing the answer among finished solutions, kept up to date as they arrive; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.search.node import UNITS, Node, likelihood


class AnswerRule(StrEnum):
    """How the answer is chosen."""

    BEST = "best"
    """The answer of the solution with the highest PPM score; without a PPM, as majority."""
    MAJORITY = "majority"
    """The answer that most solutions give."""
    WEIGHTED = "weighted"
    """The answer whose solutions have the largest sum of (1 + PPM score) / 2; without a PPM, as
    majority."""


@dataclass(slots=True, eq=False)
class Standing:
    """How one answer stands.

    Attributes:
        answer: the key of its class of equal answers.
        trajectories: solutions that end in it, repeated ones counted each time.
        sum_units: sum over them of (1 + PPM score) / 2, in 1/UNITS.
        best_units: the largest of these; without a PPM, the log-likelihood of the likeliest one.
        best: the last node of that solution.
        best_tree: the tree that it is in; of equal solutions, the first tree's.
    """

    answer: str
    trajectories: int = 0
    sum_units: int = 0
    best_units: int = -(2**62)
    best: Node | None = None
    best_tree: int = 0


def _is_better(standing: Standing, units: int, leaf: Node, tree: int) -> bool:
    """Whether a solution is better than an answer's best, by an order that nothing else decides."""
    if standing.best is None:
        return True
    mine = units, leaf.id, -tree
    return mine > (standing.best_units, standing.best.id, -standing.best_tree)


class Ballot:
    """The answers of one search, over all its trees.

    Weights only grow, so the first two places are kept in constant time a solution. They do not
    depend on the order of arrival: weights are integers, and ties go to the answer with the better
    solution (by PPM score or, without one, by likelihood), then to the lesser key.
    """

    def __init__(self, rule: AnswerRule, *, scored: bool) -> None:
        """`scored`: whether solutions carry PPM scores."""
        self.rule = rule
        self.scored = scored
        self.solved = False
        """Whether a solution is known to be right."""
        self.leader: Standing | None = None
        self.second: Standing | None = None
        self._standings: dict[str, Standing] = {}
        self._total = 0

    @property
    def counts_votes(self) -> bool:
        """Whether an answer weighs one for each of its solutions."""
        return self.rule is AnswerRule.MAJORITY or not self.scored

    def cast(self, leaf: Node, tree: int = 0) -> None:
        """Count one more solution, at `leaf` of a tree; one without an answer is ignored."""
        if leaf.step is None or leaf.step.answer is None:
            return
        self.solved = self.solved or leaf.step.correct is True
        standing = self._standings.setdefault(leaf.step.answer, Standing(leaf.step.answer))
        before = self._weight_units(standing)
        merit = UNITS
        if self.scored:
            merit = round((1 + (leaf.step.ppm_score or 0.0)) / 2 * UNITS)
        best = merit if self.scored else round(likelihood(leaf) * UNITS)
        standing.trajectories += 1
        standing.sum_units += merit
        if _is_better(standing, best, leaf, tree):
            standing.best_units, standing.best, standing.best_tree = best, leaf, tree
        self._total += self._weight_units(standing) - before
        self._place(standing)

    def weight(self, standing: Standing) -> float:
        """What an answer weighs under the rule, in votes."""
        return self._weight_units(standing) / UNITS

    def share(self, standing: Standing) -> float:
        """Its share of the weight of all answers, 0 to 1."""
        return self._weight_units(standing) / self._total if self._total else 0.0

    def ranked(self) -> list[Standing]:
        """All answers, best first."""
        return sorted(
            self._standings.values(),
            key=lambda one: (-self._weight_units(one), -one.best_units, one.answer),
        )

    def standings(self) -> Iterator[Standing]:
        """All answers, in no order."""
        return iter(self._standings.values())

    def _weight_units(self, standing: Standing) -> int:
        if self.counts_votes:
            return standing.trajectories * UNITS
        if self.rule is AnswerRule.WEIGHTED:
            return standing.sum_units
        return max(standing.best_units, 0)

    def _place(self, standing: Standing) -> None:
        """Let an answer that has gained weight take its place among the first two."""
        if standing is self.leader:
            return
        if self.leader is None or self._beats(standing, self.leader):
            self.leader, self.second = standing, self.leader
        elif self.second is None or self._beats(standing, self.second):
            self.second = standing

    def _beats(self, one: Standing, other: Standing) -> bool:
        mine = self._weight_units(one), one.best_units
        theirs = self._weight_units(other), other.best_units
        return mine > theirs or (mine == theirs and one.answer < other.answer)
