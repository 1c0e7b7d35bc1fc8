"""Calls of dependencies: what is repeated, for how long, where, and what becomes of errors."""

import asyncio
import time

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from services.search.clients.calls import Caller, RejectedError
from services.search.clients.dependencies import DependencyError
from services.search.clients.replicas import Endpoint, Limits, Replicas


async def learn(channel: grpc.aio.Channel, seconds: float) -> Limits:
    """Limits of a replica that is never asked."""
    raise AssertionError


def caller(patience_seconds: float, target: str = "one:1") -> Caller:
    """A caller of replicas that nobody dials."""
    replicas = Replicas("policy", target, Limits(4, 8), learn, check_seconds=1)
    return Caller(replicas, patience_seconds=patience_seconds)


class Attempts:
    """Fails with these codes, one an attempt, then succeeds."""

    def __init__(self, *codes: grpc.StatusCode) -> None:
        self._codes = list(codes)
        self.endpoints: list[str] = []

    @property
    def count(self) -> int:
        """Attempts so far."""
        return len(self.endpoints)

    async def __call__(self, endpoint: Endpoint, left: float) -> str:
        """One attempt."""
        assert left > 0
        self.endpoints.append(endpoint.address)
        if self._codes:
            raise AioRpcError(self._codes.pop(0), Metadata(), Metadata(), details="scripted")
        return "done"


FULL, GONE = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE


async def test_a_full_queue_and_a_moment_of_absence_are_waited_out() -> None:
    attempts = Attempts(FULL, GONE, FULL)
    assert await caller(10).call(attempts, key="s", timeout_seconds=20) == "done"
    assert attempts.count == 4


async def test_patience_ends() -> None:
    attempts = Attempts(GONE, GONE)
    with pytest.raises(DependencyError, match="policy: scripted"):
        await caller(0).call(attempts, key="s", timeout_seconds=20)
    assert attempts.count == 1


async def test_patience_is_for_absence_not_for_a_call_that_breaks_off_late() -> None:
    attempts = Attempts(GONE)

    async def late(endpoint: Endpoint, left: float) -> str:
        await asyncio.sleep(0.3)
        return await attempts(endpoint, left)

    assert await caller(0.2).call(late, key="s", timeout_seconds=20) == "done"
    assert attempts.count == 2


async def test_a_queue_that_stays_full_ends_with_the_deadline() -> None:
    with pytest.raises(DependencyError):
        await caller(10).call(Attempts(*[FULL] * 1000), key="s", timeout_seconds=0.1)


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
        await caller(10).call(attempts, key="s", timeout_seconds=20)
    assert attempts.count == 1


async def test_after_a_row_of_failures_calls_fail_without_being_made() -> None:
    one = caller(0)
    attempts = Attempts(*[GONE] * 100)
    for _ in range(20):
        with pytest.raises(DependencyError) as failure:
            await one.call(attempts, key="s", timeout_seconds=20)
    assert attempts.count == 5
    assert "circuit open" in failure.value.detail
    assert failure.value.retry_after_seconds > 0
    assert list(one.replicas.circuits().values()) == ["open"]


async def test_a_caller_with_patience_waits_for_the_circuit_to_try_again() -> None:
    one = caller(10)
    [endpoint] = one.replicas.endpoints.values()
    for _ in range(5):
        endpoint.breaker.failed(time.monotonic())
    assert list(one.replicas.circuits().values()) == ["open"]
    assert await one.call(Attempts(), key="s", timeout_seconds=20) == "done"
    assert list(one.replicas.circuits().values()) == ["closed"]


async def test_an_answer_that_is_an_error_keeps_the_circuit_closed() -> None:
    one = caller(0)
    for _ in range(20):
        with pytest.raises(DependencyError):
            await one.call(Attempts(grpc.StatusCode.INTERNAL), key="s", timeout_seconds=20)
    assert list(one.replicas.circuits().values()) == ["closed"]


async def test_calls_go_on_at_another_replica_while_one_is_left_alone() -> None:
    one = caller(10, "one:1, two:2, three:3")
    home = one.replicas.pick("s").address
    for _ in range(5):
        one.replicas.endpoints[home].breaker.failed(1e12)
    attempts = Attempts(FULL)
    assert await one.call(attempts, key="s", timeout_seconds=20) == "done"
    assert attempts.count == 2
    assert home not in attempts.endpoints


async def test_a_replica_that_is_not_ready_is_passed_over_unless_all_are() -> None:
    replicas = caller(0, "one:1,two:2").replicas
    home = replicas.pick("s")
    home.ready = False
    other = replicas.pick("s")
    assert other is not home
    other.ready = False
    assert replicas.pick("s") is home
