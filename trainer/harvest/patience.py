"""Waits out short absences of Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from trainer.harvest.queue import QueueDown

T = TypeVar("T")

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0


async def patiently(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Call Redis, again for so many seconds while it is away; then QueueDown."""
    give_up = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except QueueDown:
            if time.monotonic() + pause > give_up:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
