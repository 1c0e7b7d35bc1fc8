"""Worker processes of a harvest on this machine."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Final

from services.common import logs
from trainer.harvest.exits import Exit

_STOP_SECONDS: Final = 60.0

log = logs.get(__name__)


class FleetDown(Exception):  # noqa: N818 - an event
    """No worker is left that could go on; the message says why."""


class Fleet:
    """Starts workers, puts others in the place of those that die, and stops them all."""

    def __init__(self, count: int, settings: Mapping[str, object], restarts: int) -> None:
        """Args:
        count: processes.
        settings: of WorkerSettings, by name.
        restarts: how many deaths are made up for, of all workers together.
        """
        named = {f"RSTAR_HARVEST_{name}".upper(): str(value) for name, value in settings.items()}
        self._environment = {**os.environ, **named, "RSTAR_HARVEST_LIFELINE": "1"}
        self._count = count
        self._restarts = restarts

    async def run(self) -> None:
        """Run until every worker says that all is done.

        Cancelled, it stops them: each commits what it has finished. FleetDown where a worker says
        that it cannot go on, or too many have died.
        """
        tasks = [asyncio.create_task(self._keep(), name=f"worker-{i}") for i in range(self._count)]
        try:
            # Not gather, which would cancel them, and then the lines below: a worker's end
            # must not be left half way.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            code = await self._one()
            if code == Exit.DONE:
                return
            if code in (Exit.STOPPED, Exit.REFUSED):
                raise FleetDown("a worker cannot go on; it has said why")
            if self._restarts <= 0:
                raise FleetDown(f"too many workers have died, the last with {code}")
            self._restarts -= 1
            log.warning("a worker died and is started again", exit_code=code)

    async def _one(self) -> int:
        """Run one worker to its end; its exit code."""
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "trainer.harvest"),
                env=self._environment,
                # Held open by this process: its end, however it comes, is theirs.
                stdin=asyncio.subprocess.PIPE,
            )
        )
        try:
            process = await asyncio.shield(starting)
            return await process.wait()
        finally:
            # Cancelled while it was being started, a process would have no owner.
            await asyncio.shield(_stop(starting))


async def _stop(starting: asyncio.Task[asyncio.subprocess.Process]) -> None:
    try:
        process = await starting
    except OSError:
        return  # it was never there
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
