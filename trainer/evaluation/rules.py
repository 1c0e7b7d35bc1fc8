"""Ways to choose the answer among the solutions of one search, all from the same trees; pure.

A search answers by one rule; which other answer each of the others would have given is read off its
trees, so that one run compares them on the very same solutions. Solutions that were drawn several
times count as often. Ties go to the answer with the better solution, by PPM score or else by
likelihood, then to the lesser one, as in the search service.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from trainer.found_tree import FoundTree
from trainer.trees import Trajectory

ORACLE: Final = "oracle"
"""Not a rule but the limit of all: right where any solution is."""


class Choice(BaseModel):
    """What a rule answers, and whether that is right."""

    answer: str
    correct: bool


@dataclass(frozen=True, slots=True)
class _Solution:
    answer: str
    correct: bool
    times: int
    likelihood: float
    score: float | None

    @property
    def merit(self) -> float:
        """What decides between equals: the PPM's score where there is one."""
        return self.likelihood if self.score is None else self.score


_Weigh = Callable[[Sequence[_Solution]], float]
"""The weight of an answer from its solutions."""

_ALWAYS: Final[dict[str, _Weigh]] = {
    "majority": lambda all_: sum(one.times for one in all_),
    "likeliest": lambda all_: max(math.exp(one.likelihood) for one in all_),
    "by_likelihood": lambda all_: sum(one.times * math.exp(one.likelihood) for one in all_),
}
_SCORED: Final[dict[str, _Weigh]] = {
    "best": lambda all_: max(one.score or 0.0 for one in all_),
    "weighted": lambda all_: sum(one.times * (1 + (one.score or 0.0)) / 2 for one in all_),
}
MEANINGS: Final[dict[str, str]] = {
    "first": "the first solution that the search found, as if nothing else had been drawn",
    "majority": "the answer of most solutions",
    "likeliest": "that of the solution with the highest mean log-probability of its tokens",
    "by_likelihood": "a vote weighted by exp of that mean",
    "best": "that of the solution with the highest PPM score",
    "weighted": "a vote weighted by (1 + PPM score) / 2",
    ORACLE: "right where any solution is: the limit of all rules",
}
"""Every rule in the order of tables, and what it answers; `best` and `weighted` need a PPM."""


def choices(trees: Iterable[FoundTree]) -> dict[str, Choice]:
    """What each rule answers, by its name; empty where no solution was finished.

    Args:
        trees: of one search, every terminal node with its verdict.
    """
    solutions = [_solution(one) for tree in trees for one in tree.grown().trajectories()]
    if not solutions:
        return {}
    rules = dict(_ALWAYS)
    if all(one.score is not None for one in solutions):
        rules |= _SCORED
    made = {name: _chosen(solutions, weigh) for name, weigh in rules.items()}
    made["first"] = solutions[0]
    made[ORACLE] = max(solutions, key=lambda one: one.correct)
    return {
        name: Choice(answer=made[name].answer, correct=made[name].correct)
        for name in MEANINGS
        if name in made
    }


def _chosen(solutions: Sequence[_Solution], weigh: _Weigh) -> _Solution:
    """A solution with the answer of the greatest weight."""
    groups: dict[str, list[_Solution]] = {}
    for one in solutions:
        groups.setdefault(one.answer, []).append(one)
    # The first of equals is taken: the lesser answer.
    best = max(
        (groups[answer] for answer in sorted(groups)),
        key=lambda all_: (weigh(all_), max(one.merit for one in all_)),
    )
    return best[0]


def _solution(trajectory: Trajectory) -> _Solution:
    leaf = trajectory.leaf
    return _Solution(
        answer=trajectory.answer,
        correct=trajectory.correct,
        times=max(leaf.samples, 1),
        likelihood=trajectory.likelihood,
        score=leaf.ppm_score,
    )
