"""Keeps a set of units running: starts them in order, restarts the dead, stops them in order."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn

from rstar.stack.journal import Journal
from rstar.stack.process import Process, describe_exit
from rstar.stack.readiness import Readiness
from rstar.stack.unit import Backoff, Unit, stop_order

PROBE_TIMEOUT_SECONDS = 5.0
START_PROBE_PAUSE_SECONDS = 0.2
WATCH_PAUSE_SECONDS = 2.0
SETTLED_SECONDS = 60.0
SHOWN_LAST_LINES = 5


class StartError(Exception):
    """A unit did not become ready; says which, why, and what it printed last."""


class _Keeping:
    """One unit and what is known of it."""

    def __init__(self, unit: Unit, backoff: Backoff) -> None:
        self.unit = unit
        self.backoff = backoff
        self.process: Process | None = None
        self.was_ready = asyncio.Event()
        self.ready = False
        self.restarts = 0
        self.task: asyncio.Task[None] | None = None


class Supervisor:
    """Runs units; an async context manager that enters once all of them are ready.

    Entering raises StartError when one of them cannot be started, with nothing left running. After
    that a unit that dies, or does not answer for `hang_seconds`, is reported and started again
    with exponential backoff, for ever.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        journal: Journal,
        *,
        backoff: tuple[float, float] = (0.5, 30.0),
        hang_seconds: float = 60.0,
    ) -> None:
        self._journal = journal
        self._hang_seconds = hang_seconds
        self._kept = {u.name: _Keeping(u, Backoff(*backoff)) for u in units}
        self._groups = stop_order(list(units))

    async def __aenter__(self) -> "Supervisor":
        for kept in self._kept.values():
            kept.task = asyncio.create_task(self._keep(kept), name=f"keep {kept.unit.name}")
        try:
            await self._all_ready()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def is_ready(self, name: str) -> bool:
        """Whether a unit was ready when it was last asked."""
        return self._kept[name].ready

    def restarts(self, name: str) -> int:
        """How often a unit was started again."""
        return self._kept[name].restarts

    def pid(self, name: str) -> int | None:
        """Process id of a unit's keeper, whose only child is the unit; None between two starts."""
        process = self._kept[name].process
        return None if process is None else process.pid

    async def wait(self) -> NoReturn:
        """Wait for ever; raises where keeping a unit has failed, a fault of this program."""
        tasks = [kept.task for kept in self._kept.values() if kept.task is not None]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise RuntimeError("the supervisor was stopped while it was waited for")

    async def stop(self) -> None:
        """Stop all units, none before those that need it; what does not stop in time is killed.

        Cancelled while it does so, it kills all at once.
        """
        try:
            for group in self._groups:
                await asyncio.gather(*(self._stop_one(self._kept[unit.name]) for unit in group))
        except asyncio.CancelledError:
            await self.kill()
            raise

    async def kill(self) -> None:
        """Kill all units at once, for good."""
        # First those who would start again what is killed.
        keeping = [kept.task for kept in self._kept.values() if kept.task is not None]
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        running = [kept.process for kept in self._kept.values() if kept.process is not None]
        await asyncio.gather(*(process.kill() for process in running))

    async def _all_ready(self) -> None:
        waits = {
            asyncio.create_task(kept.was_ready.wait(), name=f"wait for {kept.unit.name}")
            for kept in self._kept.values()
        }
        keeps = {kept.task for kept in self._kept.values() if kept.task is not None}
        try:
            while waits:
                done, _ = await asyncio.wait(waits | keeps, return_when=asyncio.FIRST_COMPLETED)
                for task in done & keeps:
                    task.result()  # raises: keeping a unit never ends by itself
                waits -= done
        finally:
            for task in waits:
                task.cancel()

    async def _keep(self, kept: _Keeping) -> None:
        for name in kept.unit.after:
            await self._kept[name].was_ready.wait()
        while True:
            try:
                why = await self._run_once(kept)
            except OSError as error:
                why = f"cannot be started: {error}"
            if not kept.was_ready.is_set():
                raise StartError(f"{kept.unit.name} {why}")
            wait = kept.backoff.next()
            kept.restarts += 1
            self._journal.say(f"{why}; starting it again in {wait:g} s", about=kept.unit.name)
            await asyncio.sleep(wait)

    async def _run_once(self, kept: _Keeping) -> str:
        """Run a unit until it has to be started again; why it has to."""
        unit = kept.unit
        begun = time.monotonic()
        process = await Process.start(
            unit.command, unit.env, lambda line: self._journal.line(unit.name, line)
        )
        kept.process = process
        ended = asyncio.create_task(process.wait(), name=f"end of {unit.name}")
        try:
            trouble = await self._until_ready(kept, ended)
            if trouble is None:
                seconds = time.monotonic() - begun
                self._journal.say(f"ready in {seconds:.1f} s at {unit.address}", about=unit.name)
                kept.was_ready.set()
                trouble = await self._watch(kept, ended)
            if not ended.done():
                await process.stop(unit.stop_seconds)
            kept.process = None
            return trouble + self._last_words(process)
        finally:
            kept.ready = False
            ended.cancel()

    async def _until_ready(self, kept: _Keeping, ended: asyncio.Task[int]) -> str | None:
        """None once the unit is ready, else why it will not be."""
        deadline = time.monotonic() + kept.unit.start_seconds
        seen = Readiness(False, False, "no answer yet")
        while time.monotonic() < deadline:
            seen = await kept.unit.probe(PROBE_TIMEOUT_SECONDS)
            if ended.done():
                return describe_exit(ended.result())
            if seen.ready:
                kept.ready = True
                return None
            await asyncio.wait([ended], timeout=START_PROBE_PAUSE_SECONDS)
        return (
            f"is not ready after {kept.unit.start_seconds:g} s ({seen.detail or 'no reason given'})"
        )

    async def _watch(self, kept: _Keeping, ended: asyncio.Task[int]) -> str:
        """Follow a unit that was ready until it is dead or hangs; which of the two."""
        ready_since = answered_at = time.monotonic()
        while True:
            await asyncio.wait([ended], timeout=WATCH_PAUSE_SECONDS)
            if ended.done():
                return describe_exit(ended.result())
            seen = await kept.unit.probe(PROBE_TIMEOUT_SECONDS)
            now = time.monotonic()
            if seen.answered:
                answered_at = now
            elif now - answered_at > self._hang_seconds:
                return f"has not answered for {now - answered_at:.0f} s ({seen.detail})"
            if now - ready_since > SETTLED_SECONDS:
                kept.backoff.reset()
            self._note(kept, seen, ended)

    def _note(self, kept: _Keeping, seen: Readiness, ended: asyncio.Task[int]) -> None:
        """Say so when a unit has become ready or ceased to be."""
        if seen.ready == kept.ready or ended.done():
            return
        kept.ready = seen.ready
        text = "ready again" if seen.ready else f"not ready ({seen.detail or 'no reason given'})"
        self._journal.say(text, about=kept.unit.name)

    def _last_words(self, process: Process) -> str:
        lines = [line for line in process.last_lines if line.strip()][-SHOWN_LAST_LINES:]
        return "; its last lines:\n    " + "\n    ".join(lines) if lines else ""

    async def _stop_one(self, kept: _Keeping) -> None:
        if kept.task is not None:
            kept.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StartError):
                await kept.task
        if kept.process is not None:
            await kept.process.stop(kept.unit.stop_seconds)
            kept.process = None
