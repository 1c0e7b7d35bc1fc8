"""The async client."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from types import TracebackType
from typing import Any, Self

import httpx

from rstar.client import wire
from rstar.client.core import Core
from rstar.client.retry import Retry
from rstar.client.wire import Call


class AsyncClient(Core):
    """A connection to one search service; an async context manager.

    Every method raises ApiError (or one of its kinds) where the service refuses or fails, and
    Unreachable where it does not answer, after as many tries as `retry` says.
    """

    def __init__(
        self,
        url: str = wire.DEFAULT_URL,
        *,
        api_key: str | None = None,
        retry: Retry | None = None,
        timeout_seconds: float = wire.REPLY_SECONDS,
    ) -> None:
        """Args:
        url: of the service; the variable RSTAR_TLS_CA names authorities (PEM) to trust for https.
        api_key: the key to show; by default that of the variable RSTAR_API_KEY, if any.
        retry: when to try again.
        timeout_seconds: how long the service may be silent before it counts as unreachable, but
            for streams, which carry heartbeats.
        """
        url = url.rstrip("/")
        super().__init__(url, AsyncTransport(url, api_key), retry, timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncTransport:
    """Waits in the event loop; see core.Transport."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._http = httpx.AsyncClient(**wire.options(url, api_key))

    async def request(self, call: Call[Any], read_seconds: float) -> httpx.Response:
        """Send a request."""
        return await self._http.request(**wire.arguments(call, read_seconds))

    async def lines(self, call: Call[Any], read_seconds: float) -> AsyncGenerator[str, None]:
        """Send a request and read its reply by lines."""
        async with self._http.stream(**wire.arguments(call, read_seconds)) as reply:
            if not reply.is_success:
                await reply.aread()
            wire.check_stream(reply)
            async for line in reply.aiter_lines():
                yield line

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work in a task that outlives its caller's cancellation."""
        await asyncio.shield(work)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
