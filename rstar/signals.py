"""Runs a command's coroutine so that Ctrl-C and SIGTERM end it in good order."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

INTERRUPTED = 130


def run(main: Coroutine[Any, Any, int]) -> int:
    """The coroutine's result, an exit code; INTERRUPTED where a signal ended it.

    SIGINT and SIGTERM cancel it, and so does each further one while it cleans up.
    """
    return asyncio.run(_run(main))


async def _run(main: Coroutine[Any, Any, int]) -> int:
    task = asyncio.create_task(main)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED
