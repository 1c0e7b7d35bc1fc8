"""Problems with the trees of their searches, and how difficult they proved."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from trainer.trees import SearchTree, Trajectory

_EASY_SHARE = 0.75


class Difficulty(StrEnum):
    """How a problem went, by the share of its finished solutions that are right."""

    EASY = "easy"
    """At least three in four are right."""
    MEDIUM = "medium"
    """Some are right."""
    HARD = "hard"
    """None is right, or none was finished."""


@dataclass(frozen=True)
class Searched:
    """A problem and the trees of its searches, several where it was searched from several seeds.

    Attributes:
        id: unique within its data.
        question: the problem.
        trees: graded: every terminal node says whether its answer is right.
    """

    id: str
    question: str
    trees: Sequence[SearchTree]

    @cached_property
    def trajectories(self) -> list[Trajectory]:
        """The finished solutions of all trees."""
        return [one for tree in self.trees for one in tree.trajectories()]

    @property
    def share_right(self) -> float:
        """Share of the finished solutions that is right, as often as the policy proposed each."""
        drawn = sum(one.leaf.samples for one in self.trajectories)
        right = sum(one.leaf.samples for one in self.trajectories if one.correct)
        return right / drawn if drawn else 0.0

    @property
    def difficulty(self) -> Difficulty:
        """See Difficulty."""
        if self.share_right >= _EASY_SHARE:
            return Difficulty.EASY
        return Difficulty.MEDIUM if self.share_right > 0 else Difficulty.HARD
