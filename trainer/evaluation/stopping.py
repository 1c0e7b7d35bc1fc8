"""What stopping early saves in samples and costs in accuracy, by replaying votes; pure.

The samples of one problem are independent, so any order of them might have been drawn: the votes of
a recorded run with a fixed number of samples are replayed in random orders, and each replay stops
where the rule says. What stopping there would have changed is then known exactly.
"""

import functools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.common.posterior import majority_posterior
from trainer.evaluation.records import Record

# A sample that did not end in an answer.
NO_ANSWER = ""

# The same few counts come back in every replay.
_posterior = functools.lru_cache(maxsize=None)(majority_posterior)


@dataclass(frozen=True, slots=True)
class Poll:
    """The samples of one problem.

    Attributes:
        votes: the answer of each sample, NO_ANSWER where it has none.
        right: the answers that are right.
    """

    votes: tuple[str, ...]
    right: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a threshold saves and costs, over problems and orders.

    Attributes:
        threshold: of the posterior; None where only what is settled is cut short.
        saved: share of all samples that are not drawn.
        changed: share of replays whose answer is not the one of all samples.
        accuracy: share of replays whose answer is right.
        full_accuracy: the same with all samples.
    """

    threshold: float | None
    saved: float
    changed: float
    accuracy: float
    full_accuracy: float


def polls(records: Iterable[Record]) -> list[Poll]:
    """The votes of a run's problems; those without two samples are left out."""
    found = []
    for record in records:
        votes = [one.answer for one in record.alternatives for _ in range(one.trajectories)]
        votes += [NO_ANSWER] * (record.usage.rollouts - len(votes))
        right = frozenset(one.answer for one in record.alternatives if one.correct)
        if record.failure is None and len(votes) > 1:
            found.append(Poll(tuple(votes), right))
    return found


def simulated_polls(problems: int, samples: int, seed: int) -> list[Poll]:
    """Votes of problems whose difficulty is spread evenly.

    The chance of a right sample is uniform on 0 to 1, one sample in ten has no answer, and wrong
    samples spread over a few answers with falling weights 1, 1/2, 1/3, ... to 1/8, as where some
    mistakes are more tempting than others.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    wrong = [f"wrong {number}" for number in range(1, 9)]
    weights = [1 / number for number in range(1, 9)]

    def vote(chance: float) -> str:
        if rng.random() < 0.1:
            return NO_ANSWER
        return "right" if rng.random() < chance else rng.choices(wrong, weights)[0]

    made = []
    for _ in range(problems):
        chance = rng.random()
        made.append(Poll(tuple(vote(chance) for _ in range(samples)), frozenset(["right"])))
    return made


def replay(votes: Sequence[str], threshold: float | None) -> tuple[int, str]:
    """Count votes in their order until the rule stops.

    Args:
        votes: answers, NO_ANSWER where a sample has none.
        threshold: posterior of the leader against the second at which to stop; None for never.
            What can no longer change is not drawn in any case.

    Returns:
        How many samples were drawn, and the answer; NO_ANSWER where there is none.
    """
    counts: Counter[str] = Counter()
    for drawn, vote in enumerate(votes, start=1):
        if vote != NO_ANSWER:
            counts[vote] += 1
        if not counts:
            continue
        first, second = _two(counts)
        is_settled = first - second > len(votes) - drawn
        is_sure = threshold is not None and _posterior(first, second) >= threshold
        if is_settled or is_sure:
            return drawn, _leader(counts)
    return len(votes), _leader(counts)


def measure(
    problems: Sequence[Poll], thresholds: Sequence[float | None], orders: int, seed: int
) -> list[Outcome]:
    """What each threshold saves and costs, over `orders` random orders of each problem's votes."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    shuffled = [
        (poll, rng.sample(poll.votes, len(poll.votes))) for poll in problems for _ in range(orders)
    ]
    outcomes = []
    for threshold in thresholds:
        drawn = changed = right = right_of_all = 0
        for poll, votes in shuffled:
            number, answer = replay(votes, threshold)
            of_all = _leader(Counter(vote for vote in votes if vote != NO_ANSWER))
            drawn += number
            changed += answer != of_all
            right += answer in poll.right
            right_of_all += of_all in poll.right
        runs, samples = len(shuffled), sum(len(votes) for _, votes in shuffled)
        outcomes.append(
            Outcome(
                threshold=threshold,
                saved=1 - drawn / samples,
                changed=changed / runs,
                accuracy=right / runs,
                full_accuracy=right_of_all / runs,
            )
        )
    return outcomes


def _two(counts: Counter[str]) -> tuple[int, int]:
    """The two largest counts."""
    ranked = [count for _, count in counts.most_common(2)]
    return ranked[0], ranked[1] if len(ranked) > 1 else 0


def _leader(counts: Counter[str]) -> str:
    """The answer with most votes; of several, the least, so that order decides nothing."""
    return min(counts, key=lambda answer: (-counts[answer], answer), default=NO_ANSWER)
