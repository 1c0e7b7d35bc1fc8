"""Which replica of a service a search's calls go to: sticky by search, bounded by load.

A search's calls go to one replica, where its KV cache or its snapshots are (rendezvous hashing:
when a replica comes or goes, only the searches of that replica move). One that has more in flight
than it computes at once and more than its share passes further calls to the search's next choice
(as in consistent hashing with bounded loads, arXiv 1608.01350). Pure.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

# A replica may be loaded to so many times the mean before it passes calls on.
_LOAD_FACTOR = 1.25


class Replica(Protocol):
    """What routing knows of a replica."""

    @property
    def address(self) -> str:
        """Its name, the same in every process."""

    @property
    def load(self) -> int:
        """Units in flight to it."""

    @property
    def capacity(self) -> int:
        """Units that it works on at once, as far as it says."""


R = TypeVar("R", bound=Replica)


def preference(key: str, address: str) -> bytes:
    """How much a search prefers a replica; the highest wins."""
    return hashlib.blake2b(f"{key}\0{address}".encode(), digest_size=8).digest()


def choose(key: str, replicas: Sequence[R]) -> R:
    """The replica that the next call of a search goes to, out of one or more."""
    if len(replicas) == 1:
        return replicas[0]
    mean = (sum(one.load for one in replicas) + 1) / len(replicas)
    bound = math.ceil(_LOAD_FACTOR * mean)
    ranked = sorted(replicas, key=lambda one: preference(key, one.address), reverse=True)
    # The least loaded one is always below the bound.
    return next(one for one in ranked if one.load < max(bound, one.capacity))
