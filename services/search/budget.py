"""Budgets of a search and why it stops; pure."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum

from services.search.forest import Forest
from services.search.tree import Expansion

# What a candidate is expected to take weighs as much as so many that have been seen: the first to
# finish are the short ones.
_PRIOR_CANDIDATES = 2
# Of the tokens, what may be promised before any length is known: the solutions of one problem are
# alike in length, so a problem of long ones would go over the whole budget at once.
_FIRST_SHARE = 0.5


class StopReason(StrEnum):
    """Why a search ended."""

    ROLLOUTS = "rollouts"
    """The budget of rollouts is spent."""
    TOKENS = "tokens"
    """The budget of tokens is spent, or what is left is too little for another candidate."""
    SECONDS = "seconds"
    """The budget of seconds is spent."""
    CONFIDENT = "confident"
    """Nothing that is left could change the answer, or its posterior passed the threshold."""
    SOLVED = "solved"
    """With a known answer and a ladder: a right solution was found by the end of a rung."""
    EXHAUSTED = "exhausted"
    """Every node is fully expanded or closed."""
    CANCELLED = "cancelled"
    """Its caller cancelled it or went away."""


@dataclass(slots=True)
class Ledger:
    """What a search may spend, has spent, and has promised to trials in flight.

    The tokens of a candidate are known when it is finished, so each one in flight is reserved at
    the mean, and no candidate may take more than what is left when it is drawn plus one mean.
    Before any is finished, at most half of the tokens are promised. What is left is spent as far
    as it lasts for whole candidates of that mean. The overshoot is what the candidates in flight
    at the end need beyond it; when the budget is spent, the search stops at once and the rest of
    them are cut off.

    Attributes:
        rungs: budgets of rollouts, rising; the search looks at each whether it must go on.
        tokens: budget of new policy tokens.
        deadline: monotonic time at which the seconds are spent.
        expected_tokens: what a candidate is taken to need before any is known.
        spent_tokens: policy tokens of finished candidates so far.
        candidates: candidates finished so far.
        in_flight: candidates in flight.
        rung: which of the rungs is being climbed.
    """

    rungs: tuple[int, ...]
    tokens: int
    deadline: float
    expected_tokens: float
    spent_tokens: int = 0
    candidates: int = 0
    in_flight: int = 0
    rung: int = 0

    def resume(self, rollouts: int) -> None:
        """Go on with a search that has done so many rollouts, past the rungs below them."""
        self.rung = min(bisect_left(self.rungs, rollouts), len(self.rungs) - 1)

    @property
    def mean_tokens(self) -> float:
        """Tokens that a candidate is expected to take, at least 1."""
        expected = _PRIOR_CANDIDATES * self.expected_tokens + self.spent_tokens
        return max(expected / (_PRIOR_CANDIDATES + self.candidates), 1.0)

    def spent(self, now: float) -> StopReason | None:
        """The budget of seconds or tokens that is spent."""
        if now >= self.deadline:
            return StopReason.SECONDS
        return StopReason.TOKENS if self.spent_tokens >= self.tokens else None

    def affordable(self, forest: Forest) -> int:
        """Candidates that may be asked for beside those in flight, 0 for none.

        Under Expansion.TRAJECTORY a candidate is a rollout. Under Expansion.STEP a trial is a step
        of one rollout, which takes as many candidates as a node may have.
        """
        tree = forest.config.tree
        rollouts = self.rungs[self.rung] - forest.rollouts
        if tree.expansion is Expansion.TRAJECTORY:
            rollouts -= self.in_flight
        else:
            rollouts = tree.candidates if rollouts > forest.in_flight else 0
        tokens = int((self.tokens - self.spent_tokens) / self.mean_tokens)
        if not self.candidates:
            tokens = max(math.ceil(tokens * _FIRST_SHARE), 1)
        return max(min(rollouts, tokens - self.in_flight), 0)

    def candidate_cap(self, most: int) -> int:
        """Most tokens of the next candidate, of `most` that any may take; at least 1."""
        return max(min(most, math.ceil(self.tokens - self.spent_tokens + self.mean_tokens)), 1)
