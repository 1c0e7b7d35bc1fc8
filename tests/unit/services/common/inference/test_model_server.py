import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from services.common import rpc
from services.common.inference import model_server
from services.common.inference.engine import EngineError
from services.common.models.errors import ModelNotFound
from services.common.settings import ServiceSettings

SETTINGS = ServiceSettings(port=0, drain_seconds=1)


class FakeEngine:
    """An engine that dies when it is told to."""

    def __init__(self) -> None:
        self.dies = asyncio.Event()
        self.stopped = False

    async def died(self) -> None:
        await self.dies.wait()

    async def stop(self) -> None:
        self.stopped = True


async def run(load: Callable[[], Awaitable[object]], port: int = 0) -> tuple[int, str]:
    """The exit code, and what was logged as an error."""
    server = rpc.Server((), max_concurrent_rpcs=4)
    settings = SETTINGS.model_copy(update={"port": port})
    with capture_logs() as logged:
        async with asyncio.timeout(20):
            code = await model_server.run(server, settings, load)
    return code, "".join(line.get("reason", "") for line in logged if line["log_level"] == "error")


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_a_model_that_cannot_be_had_ends_it_with_the_reason() -> None:
    async def load() -> None:
        raise ModelNotFound("no such model")

    assert await run(load) == (1, "no such model")


async def test_an_unexpected_failure_ends_it_too() -> None:
    async def load() -> None:
        raise ZeroDivisionError("oh")

    assert await run(load) == (1, "oh")


async def test_a_dead_engine_ends_it() -> None:
    engine = FakeEngine()

    async def load() -> FakeEngine:
        engine.dies.set()
        return engine

    assert await run(load) == (1, "the engine has died")
    assert engine.stopped


async def test_a_signal_ends_it_well_and_stops_the_engine() -> None:
    engine = FakeEngine()

    async def load() -> FakeEngine:
        os.kill(os.getpid(), signal.SIGTERM)
        return engine

    assert await run(load) == (0, "")
    assert engine.stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_also_while_it_loads(number: signal.Signals) -> None:
    cancelled = asyncio.Event()

    async def load() -> None:
        os.kill(os.getpid(), number)
        try:
            await never()
        finally:
            cancelled.set()

    assert await run(load) == (0, "")
    assert cancelled.is_set()


async def test_a_load_that_fails_while_it_is_stopped_changes_nothing() -> None:
    async def load() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await never()
        finally:
            raise EngineError("half started")

    assert await run(load) == (0, "")


async def test_without_a_model_it_serves_until_it_is_stopped() -> None:
    async def load() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert await run(load) == (0, "")


async def test_a_taken_address_is_named() -> None:
    other = rpc.Server((), max_concurrent_rpcs=4)
    port = await other.start("127.0.0.1", 0)
    try:
        code, reason = await run(never, port)
    finally:
        await other.stop(0)
    assert code == 1
    assert f"127.0.0.1:{port}" in reason
