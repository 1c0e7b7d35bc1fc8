"""How the search calls its dependencies: deadlines, patience, and errors by name."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from services.search.clients.dependencies import DependencyError
from services.search.clients.replicas import Endpoint, Replicas

Reply = TypeVar("Reply")

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class VersionGone(DependencyError):  # noqa: N818 - what happened
    """No replica serves the version that a search is pinned to; begun anew, it gets another."""


class RejectedError(Exception):
    """A dependency refused a request as invalid; the message names the field and its limit."""


def explain(name: str, error: grpc.aio.AioRpcError) -> Exception:
    """The exception that a failed RPC becomes."""
    details = error.details() or error.code().name
    if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
        return RejectedError(details)
    return DependencyError(name, details)


class Caller:
    """Calls one service.

    An RPC that found nobody (UNAVAILABLE) is repeated for `patience_seconds`, on another replica
    where there is one; one that found a full queue (RESOURCE_EXHAUSTED) for as long as its deadline
    allows. Only for calls that may be repeated. A replica that fails again and again is left alone
    for a while (see breaker): where that is true of all of them, calls fail at once, unless one may
    be tried again within the patience.
    """

    def __init__(self, replicas: Replicas, *, patience_seconds: float) -> None:
        self.replicas = replicas
        self._patience = patience_seconds

    async def call(
        self,
        attempt: Callable[[Endpoint, float], Awaitable[Reply]],
        *,
        key: str,
        timeout_seconds: float,
        version: str = "",
    ) -> Reply:
        """Return what `attempt(replica, seconds left)` returns; DependencyError or RejectedError.

        Args:
            key: the search, whose calls go to one replica as far as its load allows.
            version: that the attempt names: replicas that do not serve it are passed over.
                VersionGone where none does.
        """
        deadline = time.monotonic() + timeout_seconds
        # The patience is for absence, not for the time that a call takes before it breaks off.
        missed_since: float | None = None
        pause = _FIRST_PAUSE_SECONDS
        while True:
            endpoint = await self._pick(key, missed_since, deadline, version)
            try:
                reply = await attempt(endpoint, max(deadline - time.monotonic(), 0.001))
            except grpc.aio.AioRpcError as error:
                now = time.monotonic()
                self._note(endpoint, error.code())
                if version and error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    endpoint.lacks(version)
                    if self.replicas.may_serve(version):
                        continue
                    detail = error.details() or f"{version} is not served"
                    raise VersionGone(self.replicas.name, detail) from error
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    missed_since = missed_since or now
                if not self._is_worth_waiting(error.code(), missed_since, now, deadline):
                    raise explain(self.replicas.name, error) from error
            else:
                endpoint.breaker.succeeded()
                return reply
            # Jitter keeps the trials that one full queue turned away from coming back together.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _pick(
        self, key: str, missed_since: float | None, deadline: float, version: str
    ) -> Endpoint:
        """A replica that may be called, waited for within the patience."""
        begun = missed_since or time.monotonic()
        while True:
            try:
                return self.replicas.pick(key, version)
            except DependencyError as error:
                wait = error.retry_after_seconds
                if time.monotonic() + wait >= min(begun + self._patience, deadline):
                    raise
            await asyncio.sleep(wait * random.uniform(1.0, 1.1))  # noqa: S311 - not a secret

    def _note(self, endpoint: Endpoint, code: grpc.StatusCode) -> None:
        if code is grpc.StatusCode.UNAVAILABLE:
            endpoint.breaker.failed(time.monotonic())
        elif code not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
            # It answered, so it is there. A deadline says nothing of the one or the other.
            endpoint.breaker.succeeded()

    def _is_worth_waiting(
        self, code: grpc.StatusCode, missed_since: float | None, now: float, deadline: float
    ) -> bool:
        if code is grpc.StatusCode.UNAVAILABLE and missed_since is not None:
            return now < min(missed_since + self._patience, deadline)
        return code is grpc.StatusCode.RESOURCE_EXHAUSTED and now < deadline
