"""Answers of one call on their way back: each by itself, or some together in one message."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from services.common import logs
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb

log = logs.get(__name__)

_LONGEST_GATHER_MS: Final = 100
# So many go together at most: outputs are small, and whoever gets them has work for the workers.
_MOST: Final = 16


class Answers:
    """Sends answers over one call, one message at a time.

    A message costs both sides a good part of what a light step costs, whatever it holds. An answer
    therefore waits for others, where the caller allows it and nobody's work waits for it.

    Args:
        write: sends a message; one at a time.
        is_busy: whether further runs of the call keep the workers busy.
    """

    def __init__(
        self,
        write: Callable[[pb.RunManyResponse], Awaitable[None]],
        is_busy: Callable[[], bool],
    ) -> None:
        self._write = write
        self._is_busy = is_busy
        self._gather_seconds = 0.0
        self._held: list[pb.RunManyResponse] = []
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._late: asyncio.Task[None] | None = None

    def gather(self, milliseconds: int) -> None:
        """How long an answer may wait from now on."""
        self._gather_seconds = min(milliseconds, _LONGEST_GATHER_MS) / 1000

    async def send(self, answer: pb.RunManyResponse) -> None:
        """Send an answer, or keep it until others are there, or its time is up."""
        self._held.append(answer)
        if not self._gather_seconds or len(self._held) >= _MOST or not self._is_busy():
            await self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._gather_seconds, self._flush_late)

    async def flush(self) -> None:
        """Send what is held."""
        async with self._writing:
            self._stop_timer()
            # Others may come while one is sent: they go next.
            while self._held:
                size = _MOST if self._gather_seconds else 1
                together, self._held = self._held[:size], self._held[size:]
                message = together[0]
                message.more.extend(together[1:])
                await self._write(message)

    def close(self) -> None:
        """Send nothing more."""
        self._stop_timer()
        self._held.clear()
        if self._late is not None:
            self._late.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush_late(self) -> None:
        self._timer = None
        self._late = asyncio.create_task(self.flush())
        self._late.add_done_callback(_note)


def _note(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        # The caller, whose connection it was, has left.
        log.debug("answers could not be sent", error=str(error))
