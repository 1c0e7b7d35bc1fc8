"""Which problems are held out of training, to measure on."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from trainer.training.data import Row
from trainer.training.files import BadData

AnyRow = TypeVar("AnyRow", bound=Row)


def split(rows: Sequence[AnyRow], share: float) -> tuple[list[AnyRow], list[AnyRow]]:
    """Rows to train on and held-out rows; no problem has rows in both.

    A problem is held out by a hash of its id, so it is the same in every round: about `share` of
    them, always at least one and never all.

    Raises:
        BadData: there are fewer than two problems.
    """
    places = {row.problem: _place(row.problem) for row in rows}
    if len(places) < 2:
        raise BadData(f"{len(places)} problems: at least two are needed, one of them held out")
    order = sorted(places, key=places.__getitem__)
    count = sum(place < share for place in places.values())
    kept = set(order[: min(max(count, 1), len(order) - 1)])
    train = [row for row in rows if row.problem not in kept]
    return train, [row for row in rows if row.problem in kept]


def _place(problem: str) -> float:
    """A number from 0 to 1 that depends on the id alone."""
    digest = hashlib.sha256(f"held-out:{problem}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
