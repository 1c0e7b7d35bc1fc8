"""The life of a process that serves one model: listen, load, serve, stop, or fail loudly."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from services.common import logs, rpc
from services.common.inference.engine import EngineError
from services.common.models.errors import ModelError
from services.common.settings import ServiceSettings
from services.common.tls import TlsError

log = logs.get(__name__)


class Mortal(Protocol):
    """What serves a model, and may die."""

    async def died(self) -> None:
        """Return once it can serve no more."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...


async def run(
    server: rpc.Server, settings: ServiceSettings, load: Callable[[], Awaitable[Mortal | None]]
) -> int:
    """Serve until SIGTERM or SIGINT; returns the process's exit code.

    Args:
        server: with its services added, not started.
        settings: where to listen, how long to drain.
        load: loads the model, opens it to callers and sets the health; returns what runs it, None
            where no model is to be served. Calls are answered meanwhile.

    Returns:
        0 after a signal; 1 where the address is taken, the model cannot be loaded, or the engine
        has died (whoever supervises the process starts it again).
    """
    try:
        port = await server.start(settings.host, settings.port, settings.tls)
    except (rpc.AddressInUse, TlsError) as error:
        return _fail("cannot listen", error)
    log.info("listening", address=f"{settings.host}:{port}")
    stopped = asyncio.create_task(rpc.wait_for_stop_signal())
    serving = asyncio.create_task(_serve(load))
    try:
        await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            log.info("stopping", signal=stopped.result())
            await server.stop(settings.drain_seconds)
            return 0
        await server.stop(0)
        return _fail("cannot serve", serving.exception())
    finally:
        for task in (stopped, serving):
            task.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def _fail(what: str, error: BaseException | None) -> int:
    expected = isinstance(error, (rpc.AddressInUse, EngineError, ModelError, TlsError))
    log.error(what, reason=str(error), exc_info=None if expected else error)
    return 1


async def _serve(load: Callable[[], Awaitable[Mortal | None]]) -> None:
    """Load and watch the engine; ends only by an error, or by being cancelled."""
    engine = await load()
    if engine is None:
        await asyncio.get_running_loop().create_future()
        return
    try:
        await engine.died()
        raise EngineError("the engine has died")
    finally:
        await engine.stop()
