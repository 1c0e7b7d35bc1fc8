"""A stack that a command starts for itself and stops when it is done."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable

from rstar.stack.config import StackConfig
from rstar.stack.journal import Journal
from rstar.stack.services import UNIT_NAMES
from rstar.stack.stack import Stack


@contextlib.asynccontextmanager
async def own_stack(
    config: StackConfig, command: str, note: Callable[[str], None]
) -> AsyncIterator[Stack]:
    """A running stack, gone at the end.

    Args:
        config: what it is made of.
        command: names the log file.
        note: is told what goes on.

    Raises:
        PreflightError, StartError: it was not started, and nothing is left running.
    """
    log = config.home / "logs" / f"{command}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    note(f"starting the stack with {config.model or config.policy_module}; its log is {log}")
    with log.open("w", encoding="utf-8") as file:
        journal = Journal(UNIT_NAMES, file, announce=note)
        async with Stack(config, journal) as stack:
            note(f"the stack is ready after {time.monotonic() - begun:.1f} s")
            try:
                yield stack
            finally:
                note("stopping the stack")
