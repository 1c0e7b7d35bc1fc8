"""The warden: sessions and the queue in front of what runs steps."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from services.common import logs
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox.confine import Bounds
from services.sandbox.keeper import Keeper
from services.sandbox.nursery import ZygoteLost
from services.sandbox.replay import MODE, Replay
from services.sandbox.sessions import SessionTable
from services.sandbox.settings import SandboxSettings
from services.sandbox.step import Limits, Step
from services.sandbox.workers import Workers

log = logs.get(__name__)

_MIB: Final = 1024 * 1024
_CPU_SLACK_SECONDS: Final = 5
_JANITOR_SECONDS: Final = 5.0


class SessionClosed(LookupError):  # noqa: N818
    """The session is not open, or was closed while a step ran in it."""


class Warden:
    """Runs steps within its settings' limits."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self.limits = Limits(
            settings.max_wall_ms / 1000,
            settings.max_memory_mib * _MIB,
            settings.max_output_bytes,
        )
        self._keeper = Keeper(_bounds(settings))
        self._replay = Replay(self.limits)
        self._workers = Workers(settings.workers, settings.max_queue)
        self.sessions = SessionTable(
            settings.max_sessions, settings.session_idle_seconds, time.monotonic
        )
        self._janitor: asyncio.Task[None] | None = None
        self.info = pb.InfoResponse()

    async def start(self) -> None:
        """Bring up the zygote. linux.Unsupported where this machine cannot isolate steps."""
        ready = await self._keeper.start()
        self.info = _describe(self._settings, ready.packages, ready.isolation)
        self._janitor = asyncio.create_task(self._expire_sessions())

    async def stop(self) -> None:
        """End every process."""
        if self._janitor is not None:
            self._janitor.cancel()
            await asyncio.wait({self._janitor})
        await self._keeper.stop()

    async def _expire_sessions(self) -> None:
        while True:
            await asyncio.sleep(_JANITOR_SECONDS)
            for session in self.sessions.remove_idle():
                log.info("idle session closed", session=session.name)

    def close_session(self, name: str) -> None:
        """Kill what runs in a session and forget it."""
        session = self.sessions.remove(name)
        for run in session.runs if session is not None else ():
            run.cancel()

    async def run(self, step: Step, ancestors: Sequence[Step], limits: Limits) -> pb.RunResponse:
        """Run one step after its ancestors.

        Raises SessionClosed, workers.QueueFull, or ZygoteLost where no zygote comes up. A caller
        that is cancelled takes its processes along.
        """
        session = self.sessions.get(step.session)
        if session is None:
            raise SessionClosed(step.session)
        work = asyncio.create_task(self._run_in_turn(step, ancestors, limits))
        session.runs.add(work)
        try:
            return await work
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if session.closed and not (caller and caller.cancelling()):
                raise SessionClosed(step.session) from None
            raise
        finally:
            session.runs.discard(work)
            session.used_at = time.monotonic()

    async def _run_in_turn(
        self, step: Step, ancestors: Sequence[Step], limits: Limits
    ) -> pb.RunResponse:
        arrived = time.monotonic()
        async with self._workers.one():
            queued = time.monotonic() - arrived
            try:
                response = await self._run_once(step, ancestors, limits)
            except ZygoteLost:
                # Nothing of the step's is lost: its whole past came with the request.
                response = await self._run_once(step, ancestors, limits)
        response.timings.queued_ms = queued * 1000
        return response

    async def _run_once(
        self, step: Step, ancestors: Sequence[Step], limits: Limits
    ) -> pb.RunResponse:
        nursery = await self._keeper.nursery()
        return await self._replay.run(nursery, step, ancestors, limits)


def _bounds(settings: SandboxSettings) -> Bounds:
    # Replayed ancestors and their step share one process, so its processor time adds up.
    steps = settings.max_ancestors + 1
    seconds = (settings.max_wall_ms // 1000 + _CPU_SLACK_SECONDS) * steps
    return Bounds(settings.max_memory_mib * _MIB, seconds, forks=False)


def _describe(
    settings: SandboxSettings, packages: dict[str, str], isolation: list[str]
) -> pb.InfoResponse:
    return pb.InfoResponse(
        mode=MODE,
        isolation=isolation,
        packages=packages,
        max_limits=pb.Limits(
            wall_ms=settings.max_wall_ms,
            memory_mib=settings.max_memory_mib,
            output_bytes=settings.max_output_bytes,
        ),
        max_sessions=settings.max_sessions,
        workers=settings.workers,
        max_queue=settings.max_queue,
        max_code_bytes=settings.max_code_bytes,
        max_ancestors=settings.max_ancestors,
    )
