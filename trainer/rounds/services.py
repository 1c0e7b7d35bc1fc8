"""What a round asks of whoever runs the services."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
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

    def unguided(self) -> "Serving":
        """The same, for searches that leave the PPM aside."""
        return replace(self, models={**self.models, "ppm": ""}) if self.models else self


class Services(Protocol):
    """Lets versions of the store be served, while a context is open."""

    def serving(self, policy: str, ppm: str) -> AbstractAsyncContextManager[Serving]:
        """Serve these; ServicesAbsent where it fails.

        Searches are unguided where `ppm` is empty: they have to ask for that themselves, since a
        PPM may be served all the same.
        """

    def bootstrap(self, what: Bootstrap) -> AbstractAsyncContextManager[Serving]:
        """Serve what proposes steps in round 1, unguided."""
