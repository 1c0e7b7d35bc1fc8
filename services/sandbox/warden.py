"""The warden: sessions and the queue in front of what runs steps."""

import asyncio
import resource
import time
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry

from services.common import logs
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox import linux
from services.sandbox.confine import Bounds
from services.sandbox.interpreters import Interpreters
from services.sandbox.kinds import Kind
from services.sandbox.meters import Meters
from services.sandbox.nursery import ZygoteLost
from services.sandbox.sessions import Session, SessionTable
from services.sandbox.settings import SandboxSettings
from services.sandbox.snapshots import Budget
from services.sandbox.step import Limits, Step
from services.sandbox.tree import ForkTree
from services.sandbox.workers import Workers

log = logs.get(__name__)

_MIB: Final = 1024 * 1024
_CPU_SLACK_SECONDS: Final = 5
_JANITOR_SECONDS: Final = 5.0
# A step whose zygote is lost is begun again so often.
_ATTEMPTS: Final = 3
# A pidfd and a socket for each; connections, libraries and what is on its way for ourselves.
_DESCRIPTORS_OF_A_PROCESS: Final = 2
_OWN_DESCRIPTORS: Final = 256
_FULL_ISOLATION: Final = ("no_new_privs", "no_capabilities", "landlock", "rlimits", "seccomp")


class SessionClosed(LookupError):  # noqa: N818
    """The session is not open, or was closed while a step ran in it."""


class Warden:
    """Runs steps within its settings' limits."""

    def __init__(self, settings: SandboxSettings, registry: CollectorRegistry = REGISTRY) -> None:
        self._settings = settings
        self._meters = Meters(registry)
        self.limits = Limits(
            settings.max_wall_ms / 1000,
            settings.max_memory_mib * _MIB,
            settings.max_output_bytes,
        )
        kinds = (Kind.LIGHT, Kind.FULL) if settings.light else (Kind.FULL,)
        self._interpreters = Interpreters(kinds, _bounds(settings), self.limits, _budget(settings))
        self._workers = Workers(settings.workers, settings.max_queue)
        self.sessions = SessionTable(
            settings.max_sessions, settings.session_idle_seconds, time.monotonic
        )
        self._janitor: asyncio.Task[None] | None = None
        self.info = pb.InfoResponse()
        self._meters.watch(self)

    async def start(self) -> None:
        """Bring up the zygote. linux.Unsupported where this machine cannot isolate steps."""
        _allow_descriptors(self._settings)
        ready = await self._interpreters.start()
        self.info = _describe(
            self._settings, self._interpreters.mode, ready.packages, ready.isolation
        )
        missing = _missing(self.info)
        if missing and self._settings.require == "full":
            raise linux.Unsupported(
                f"full isolation is required, but missing: {', '.join(missing)}"
            )
        if missing:
            log.warning("less than full isolation", missing=", ".join(missing))
        self._janitor = asyncio.create_task(self._expire_sessions())

    @property
    def mode(self) -> str:
        """How steps are isolated and resumed; empty before the start."""
        return self._interpreters.mode

    @property
    def up(self) -> bool:
        """Whether steps can be run."""
        return self._interpreters.up

    def on_change(self, call: Callable[[bool], object]) -> None:
        """Call with whether steps can be run, whenever that changes."""
        self._interpreters.on_change = call

    @property
    def gauges(self) -> dict[str, float]:
        """See meters.State."""
        cache = self._interpreters.cache
        return {
            "up": self._interpreters.up,
            "queue_steps": self._workers.waiting,
            "sessions": len(self.sessions),
            "snapshots": len(cache),
            "snapshots_bytes": cache.size,
        }

    @property
    def counters(self) -> dict[str, float]:
        """See meters.State."""
        interpreters = self._interpreters
        return {
            "forks": interpreters.forks,
            "evictions": interpreters.cache.evictions,
            "moves": interpreters.moves,
            "zygote_restarts": sum(each.restarts for each in interpreters.keepers.values()),
        }

    async def stop(self) -> None:
        """End every process."""
        if self._janitor is not None:
            self._janitor.cancel()
            await asyncio.wait({self._janitor})
        await self._interpreters.stop()

    async def _expire_sessions(self) -> None:
        while True:
            await asyncio.sleep(min(_JANITOR_SECONDS, self._settings.session_idle_seconds))
            for session in self.sessions.remove_idle():
                log.info("idle session closed", session=session.name)
                self._end(session)

    def close_session(self, name: str) -> None:
        """Kill what runs in a session and forget it."""
        session = self.sessions.remove(name)
        if session is not None:
            self._end(session)

    def _end(self, session: Session) -> None:
        for run in session.runs:
            run.cancel()
        self._interpreters.close(session.name)

    async def run(self, step: Step, ancestors: Sequence[Step], limits: Limits) -> pb.RunResponse:
        """Run one step after its ancestors.

        Raises SessionClosed, workers.QueueFull, or ZygoteLost where no zygote comes up.
        A caller that is cancelled takes its processes along.
        """
        session = self.sessions.get(step.session)
        if session is None:
            raise SessionClosed(step.session)
        caller = asyncio.current_task()
        if caller is None:
            raise RuntimeError("steps are run by tasks")
        session.runs.add(caller)
        try:
            return await self._run_in_turn(step, ancestors, limits)
        except asyncio.CancelledError:
            # Cancelled by the closing of its session, and by nobody else.
            if session.closed and caller.uncancel() == 0:
                raise SessionClosed(step.session) from None
            raise
        finally:
            session.runs.discard(caller)
            session.used_at = time.monotonic()

    async def _run_in_turn(
        self, step: Step, ancestors: Sequence[Step], limits: Limits
    ) -> pb.RunResponse:
        arrived = time.monotonic()
        lost = ZygoteLost("the zygote is down")
        for _ in range(_ATTEMPTS):
            # Without a worker, so that who waits in vain is told so together with all others.
            await self._interpreters.wait_up(step, ancestors)
            if self._workers.full:
                self._meters.count_refused()
            async with self._workers.one():
                queued = time.monotonic() - arrived
                try:
                    response = await self._interpreters.run(step, ancestors, limits)
                except ZygoteLost as error:
                    # Nothing of the step's is lost: its whole past came with the request.
                    lost = error
                    continue
            response.timings.queued_ms = queued * 1000
            self._meters.count(response)
            return response
        raise lost


def _bounds(settings: SandboxSettings) -> Bounds:
    # Replayed ancestors and their step may share one process, so its processor time adds up.
    steps = settings.max_ancestors + 1
    seconds = (settings.max_wall_ms // 1000 + _CPU_SLACK_SECONDS) * steps
    return Bounds(settings.max_memory_mib * _MIB, seconds, forks=settings.mode == "auto")


def _allow_descriptors(settings: SandboxSettings) -> None:
    """Raise our limit of open files to what the settings may need; Unsupported where it cannot."""
    # A session has a root of each kind.
    processes = settings.max_snapshots + 2 * settings.max_sessions + settings.workers
    needed = processes * _DESCRIPTORS_OF_A_PROCESS + _OWN_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise linux.Unsupported(
            f"max_snapshots and max_sessions need {needed} open files; the limit here is {hard}"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _budget(settings: SandboxSettings) -> Budget:
    return Budget(
        settings.max_snapshots_mib * _MIB,
        settings.max_session_snapshots_mib * _MIB,
        settings.max_snapshots,
    )


def _missing(info: pb.InfoResponse) -> list[str]:
    """What full isolation has and this machine, or the settings, have not."""
    missing = [] if info.mode == ForkTree.mode else [f"mode {ForkTree.mode} (it is {info.mode})"]
    return missing + [part for part in _FULL_ISOLATION if part not in info.isolation]


def _describe(
    settings: SandboxSettings, mode: str, packages: dict[str, str], isolation: list[str]
) -> pb.InfoResponse:
    return pb.InfoResponse(
        mode=mode,
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
