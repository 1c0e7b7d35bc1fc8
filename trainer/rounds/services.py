"""What a round asks of whoever runs the services."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from trainer.rounds.config import Bootstrap


class ServicesAbsent(Exception):  # noqa: N818 - a state
    """The services cannot be had, or do not serve what was published; the message says why."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Services that serve what was asked for.

    Attributes:
        target: gRPC target of the search service.
        redis_url: Redis of a harvest's queue.
        models: versions that must answer, by `policy` and `ppm`; empty names are not checked.
    """

    target: str
    redis_url: str
    models: dict[str, str]


class Services(Protocol):
    """Lets versions of the store be served, while a context is open."""

    def serving(self, policy: str, ppm: str) -> AbstractAsyncContextManager[Serving]:
        """Serve these; an empty `ppm` for unguided searches. ServicesAbsent where it fails."""

    def bootstrap(self, what: Bootstrap) -> AbstractAsyncContextManager[Serving]:
        """Serve what proposes steps in round 1, unguided."""
