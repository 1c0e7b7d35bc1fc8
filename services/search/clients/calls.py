"""How the search calls its dependencies: deadlines, patience, and errors by name."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from services.search.clients.dependencies import DependencyError

Reply = TypeVar("Reply")

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class RejectedError(Exception):
    """A dependency refused a request as invalid; the message names the field and its limit."""


def explain(name: str, error: grpc.aio.AioRpcError) -> Exception:
    """The exception that a failed RPC becomes."""
    details = error.details() or error.code().name
    if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
        return RejectedError(details)
    return DependencyError(name, details)


class Caller:
    """Calls one dependency.

    An RPC that found nobody (UNAVAILABLE) is repeated for `patience_seconds`, one that found a full
    queue (RESOURCE_EXHAUSTED) for as long as its deadline allows. Only for calls that may be
    repeated.
    """

    def __init__(self, name: str, *, patience_seconds: float) -> None:
        self.name = name
        self._patience = patience_seconds

    async def call(
        self, attempt: Callable[[float], Awaitable[Reply]], *, timeout_seconds: float
    ) -> Reply:
        """Return what `attempt(seconds left)` returns; DependencyError or RejectedError."""
        begun = time.monotonic()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            left = timeout_seconds - (time.monotonic() - begun)
            try:
                return await attempt(max(left, 0.001))
            except grpc.aio.AioRpcError as error:
                waited = time.monotonic() - begun
                if not self._is_worth_waiting(error.code(), waited, timeout_seconds):
                    raise explain(self.name, error) from error
            # Jitter keeps the trials that one full queue turned away from coming back together.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _is_worth_waiting(
        self, code: grpc.StatusCode, waited: float, timeout_seconds: float
    ) -> bool:
        if code is grpc.StatusCode.UNAVAILABLE:
            return waited < min(self._patience, timeout_seconds)
        return code is grpc.StatusCode.RESOURCE_EXHAUSTED and waited < timeout_seconds
