"""What a PPM's logits are trained to be, one loss a group of pairs.

The paper compares three (table 8): its own preference model, an outcome reward model (ORM), and a
model of Q-values (PQM). All three read the same groups and leave one logit, whose half is the log
odds of what it stands for, so all are served by tanh(logit / scale).
"""

from dataclasses import dataclass
from typing import Any, Protocol

from trainer.selection.pairs import PairKind
from trainer.training.data import PairGroup
from trainer.training.groups import Targets
from trainer.training.settings import PpmSettings


class Objective(Protocol):
    """A loss over groups."""

    def usable(self, group: PairGroup) -> bool:
        """Whether the group has anything to learn from."""
        ...

    def losses(self, logits: Any, wanted: Targets, doubt: float = 0.0) -> Any:
        """The loss of each group.

        Args:
            logits: M, one a member.
            wanted: of the same members.
            doubt: probability with which a target is taken to be the opposite.

        Returns:
            G, float32.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairwise ranking (equation 4): the mean of -log sigmoid(r+ - r-) over a group's pairs.

    Attributes:
        centering: weight of ((r+ + r-) / 2)^2 beside it.
    """

    centering: float = 0.0

    def usable(self, group: PairGroup) -> bool:
        """Every group has a pair."""
        return bool(group.pairs)

    def losses(self, logits: Any, wanted: Targets, doubt: float = 0.0) -> Any:
        """See Objective."""
        from torch.nn.functional import softplus

        better, worse = logits[wanted.pairs[:, 0]], logits[wanted.pairs[:, 1]]
        gap = better - worse
        # softplus(-x) is -log sigmoid(x); logsigmoid itself wakes all threads for a few numbers.
        each = (1 - doubt) * softplus(-gap) + doubt * softplus(gap)
        each = each + self.centering * ((better + worse) / 2) ** 2
        return _means(each, wanted.pair_group, wanted.groups)


@dataclass(frozen=True, slots=True)
class Outcome:
    """ORM: cross-entropy of sigmoid(r) against whether a whole solution is right."""

    def usable(self, group: PairGroup) -> bool:
        """Only whole solutions are right or wrong."""
        return group.kind is PairKind.SOLUTION and all(m.correct is not None for m in group.members)

    def losses(self, logits: Any, wanted: Targets, doubt: float = 0.0) -> Any:
        """See Objective; members that are neither right nor wrong are passed over."""
        known = wanted.correct.isfinite()
        each = _cross_entropy(logits[known], wanted.correct[known], doubt)
        return _means(each, wanted.member_group[known], wanted.groups)


@dataclass(frozen=True, slots=True)
class QValue:
    """PQM: cross-entropy of sigmoid(r) against (1 + Q) / 2, so that tanh(r / 2) estimates Q."""

    def usable(self, group: PairGroup) -> bool:
        """Every member has a Q-value."""
        return bool(group.members)

    def losses(self, logits: Any, wanted: Targets, doubt: float = 0.0) -> Any:
        """See Objective."""
        each = _cross_entropy(logits, (1 + wanted.q) / 2, doubt)
        return _means(each, wanted.member_group, wanted.groups)


def objective_of(settings: PpmSettings) -> Objective:
    """The objective that the settings name."""
    kinds: dict[str, Objective] = {
        "pairs": Pairs(settings.centering),
        "outcome": Outcome(),
        "q_value": QValue(),
    }
    return kinds[settings.objective]


def _cross_entropy(logits: Any, goal: Any, doubt: float) -> Any:
    from torch.nn.functional import binary_cross_entropy_with_logits

    blurred = goal * (1 - doubt) + (1 - goal) * doubt
    return binary_cross_entropy_with_logits(logits, blurred, reduction="none")


def _means(each: Any, group: Any, groups: int) -> Any:
    """The mean in each group; 0 for a group without any."""
    sums = each.new_zeros(groups).index_add(0, group, each)
    counts = each.new_zeros(groups).index_add(0, group, each.new_ones(len(each)))
    return sums / counts.clamp(min=1)
