"""A servicer of one's own in front of a service, to see what passes."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

import grpc

from rstar.stack.config import LOOPBACK
from services.common import rpc

_RPCS: Final = 10_000

Servicer = TypeVar("Servicer")


@contextlib.asynccontextmanager
async def serving(
    add: Callable[[Servicer, grpc.aio.Server], None], servicer: Servicer, service: str
) -> AsyncIterator[str]:
    """Serve it as a healthy `service` on a free port; its target."""
    server = rpc.Server((service,), max_concurrent_rpcs=_RPCS)
    add(servicer, server.grpc)
    port = await server.start(LOOPBACK, 0)
    for name in ("", service):
        await server.set_serving(True, name)
    try:
        yield f"{LOOPBACK}:{port}"
    finally:
        await server.stop(0)
