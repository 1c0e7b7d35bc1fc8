"""How the accuracy of a vote grows with its samples, from one run with many; pure."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

from trainer.evaluation.stopping import NO_ANSWER, Poll

_ORDERS: Final = 50
_SEED: Final = 0


def powers(most: int) -> list[int]:
    """1, 2, 4 and so on up to `most`, and `most` itself."""
    return sorted({*(2**power for power in range(most.bit_length())), most} - {0})


def majority_at_k(polls: Sequence[Poll], most: int, seed: int = _SEED) -> dict[int, float]:
    """By k, the share of problems that a majority of k of their samples gets right.

    Args:
        polls: the samples of each problem, `most` of them at least; independent ones, so that any k
            of them might have been drawn. The mean over orders that `seed` gives; with all samples
            every order votes alike but for ties, which the sample that was first decides.
        most: the largest k.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    right = Counter[int]()
    for poll in polls:
        for _ in range(_ORDERS):
            order = rng.sample(poll.votes, most)
            for k in powers(most):
                right[k] += _majority(order[:k]) in poll.right
    return {k: right[k] / (_ORDERS * len(polls)) for k in powers(most)} if polls else {}


def _majority(votes: Sequence[str]) -> str:
    """The most frequent answer, of equals the first; NO_ANSWER where there is none."""
    counted = Counter(vote for vote in votes if vote != NO_ANSWER)
    return counted.most_common(1)[0][0] if counted else NO_ANSWER
