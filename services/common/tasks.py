"""Ending asyncio tasks for certain."""

import asyncio
from typing import Any

# So long a task that was cancelled may take to end before it is told again.
_AGAIN_SECONDS = 1.0


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they have ended, however they do.

    A cancellation can be lost: asyncio.wait_for of Python 3.11 returns its result where that has
    come at the same moment, and libraries use it. A task in a loop then goes on: it is told again.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_SECONDS)
