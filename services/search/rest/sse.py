"""Server-sent events (WHATWG HTML, section 9.2) out of an async iterator."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi.responses import Response, StreamingResponse

MEDIA_TYPE = "text/event-stream"
# A byte now and then keeps proxies from closing the stream, and finds out who has left.
HEARTBEAT = ": heartbeat\n\n"


def event(name: str, data: str, identity: str | None = None) -> str:
    """One event; `data` is JSON on one line."""
    head = "" if identity is None else f"id: {identity}\n"
    return f"{head}event: {name}\ndata: {data}\n\n"


async def respond(chunks: AsyncGenerator[str, None]) -> Response:
    """The response that sends these chunks as they come; 204 where there are none."""
    # Once begun, the iterator ends in good order also for a caller who leaves before the first
    # byte: what is dropped without having begun runs none of its code.
    first = await anext(chunks, None)
    if first is None:
        # Which is how a browser's EventSource is told not to ask again.
        return Response(status_code=204)
    return StreamingResponse(
        _chain(first, chunks),
        media_type=MEDIA_TYPE,
        # nginx would collect events before it passes them on.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _chain(first: str, rest: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    async with contextlib.aclosing(rest):
        yield first
        async for one in rest:
            yield one


async def with_heartbeats(
    chunks: AsyncGenerator[str, None], every_seconds: float
) -> AsyncGenerator[str, None]:
    """The chunks, and a heartbeat whenever none has come for a while; closes them at its end."""
    queue: asyncio.Queue[str | Exception | None] = asyncio.Queue(maxsize=1)
    # A task of its own closes the chunks in good order even where this iterator is dropped.
    pump = asyncio.create_task(_pump(chunks, queue))
    try:
        while True:
            try:
                async with asyncio.timeout(every_seconds):
                    chunk = await queue.get()
            except TimeoutError:
                yield HEARTBEAT
                continue
            if chunk is None:
                return
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk
    finally:
        pump.cancel()


async def _pump(
    chunks: AsyncGenerator[str, None], queue: "asyncio.Queue[str | Exception | None]"
) -> None:
    last: Exception | None = None
    try:
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                await queue.put(chunk)
    except Exception as error:
        last = error
    await queue.put(last)
