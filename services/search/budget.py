"""Budgets of a search and why it stops; pure."""

from dataclasses import dataclass
from enum import StrEnum

from services.search.tree import Expansion, Tree


class StopReason(StrEnum):
    """Why a search ended."""

    ROLLOUTS = "rollouts"
    """The budget of rollouts is spent."""
    TOKENS = "tokens"
    """The budget of tokens is spent."""
    SECONDS = "seconds"
    """The budget of seconds is spent."""
    CONFIDENT = "confident"
    """No rollout that is left could change the answer."""
    EXHAUSTED = "exhausted"
    """Every node is fully expanded or closed."""
    CANCELLED = "cancelled"
    """Its caller cancelled it or went away."""


@dataclass(slots=True)
class Ledger:
    """What a search may spend, has spent, and has promised to trials in flight.

    Tokens are known only when a candidate is finished, so each candidate in flight is reserved at
    the mean so far. The overshoot is therefore what the candidates in flight need beyond that mean;
    before the first candidate is finished, nothing is reserved.

    Attributes:
        rollouts: budget of rollouts.
        tokens: budget of new policy tokens.
        deadline: monotonic time at which the seconds are spent.
        spent_tokens: policy tokens so far.
        candidates: candidates finished so far.
        in_flight: candidates in flight.
    """

    rollouts: int
    tokens: int
    deadline: float
    spent_tokens: int = 0
    candidates: int = 0
    in_flight: int = 0

    def stop_reason(self, tree: Tree, now: float) -> StopReason | None:
        """The budget that is spent, or that nothing is left to explore; None to go on."""
        if now >= self.deadline:
            return StopReason.SECONDS
        if self.spent_tokens >= self.tokens:
            return StopReason.TOKENS
        if tree.rollouts >= self.rollouts:
            return StopReason.ROLLOUTS
        return StopReason.EXHAUSTED if tree.exhausted else None

    def affordable(self, tree: Tree) -> int:
        """Candidates that may be asked for beside those in flight, 0 for none.

        Under Expansion.TRAJECTORY a candidate is a rollout. Under Expansion.STEP a trial is a step
        of one rollout, which takes as many candidates as a node may have.
        """
        rollouts = self.rollouts - tree.rollouts
        if tree.config.expansion is Expansion.TRAJECTORY:
            rollouts -= self.in_flight
        else:
            rollouts = tree.config.candidates if rollouts > tree.in_flight else 0
        if not self.candidates:
            return max(rollouts, 0)
        mean = max(self.spent_tokens / self.candidates, 1.0)
        # Rounded up: the last candidate may cross the line, or small budgets would never be spent.
        tokens = -int(-(self.tokens - self.spent_tokens) // mean) - self.in_flight
        return max(min(rollouts, tokens), 0)
