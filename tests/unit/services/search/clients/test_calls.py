"""Calls of dependencies: what is repeated, for how long, and what becomes of errors."""

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from services.search.clients.calls import Caller, RejectedError
from services.search.clients.dependencies import DependencyError


class Attempts:
    """Fails with these codes, one an attempt, then succeeds."""

    def __init__(self, *codes: grpc.StatusCode) -> None:
        self._codes = list(codes)
        self.count = 0

    async def __call__(self, left: float) -> str:
        """One attempt."""
        assert left > 0
        self.count += 1
        if self._codes:
            raise AioRpcError(self._codes.pop(0), Metadata(), Metadata(), details="scripted")
        return "done"


FULL, GONE = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE


async def test_a_full_queue_and_a_moment_of_absence_are_waited_out() -> None:
    attempts = Attempts(FULL, GONE, FULL)
    caller = Caller("policy", patience_seconds=10)
    assert await caller.call(attempts, timeout_seconds=20) == "done"
    assert attempts.count == 4


async def test_patience_ends() -> None:
    attempts = Attempts(GONE, GONE)
    with pytest.raises(DependencyError, match="policy: scripted"):
        await Caller("policy", patience_seconds=0).call(attempts, timeout_seconds=20)
    assert attempts.count == 1


async def test_a_queue_that_stays_full_ends_with_the_deadline() -> None:
    with pytest.raises(DependencyError):
        await Caller("policy", patience_seconds=10).call(
            Attempts(*[FULL] * 1000), timeout_seconds=0.1
        )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, RejectedError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DependencyError),
        (grpc.StatusCode.INTERNAL, DependencyError),
    ],
)
async def test_other_failures_are_not_repeated(
    code: grpc.StatusCode, error: type[Exception]
) -> None:
    attempts = Attempts(code)
    with pytest.raises(error):
        await Caller("policy", patience_seconds=10).call(attempts, timeout_seconds=20)
    assert attempts.count == 1
