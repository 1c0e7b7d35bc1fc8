"""A bounded queue in front of a fixed number of workers. Pure asyncio."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class QueueFull(RuntimeError):  # noqa: N818
    """As many wait as may wait."""


class Workers:
    """Lets `count` callers work at once and up to `queue` more wait, first come first served.

    Args:
        count: 1 or more.
        queue: 1 or more.
    """

    def __init__(self, count: int, queue: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._queue = queue
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether as many wait as may wait."""
        return self._free.locked() and self._waiting >= self._queue

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold one worker. QueueFull at once where the queue is full."""
        if self.full:
            raise QueueFull(f"{self._waiting} steps wait already")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
