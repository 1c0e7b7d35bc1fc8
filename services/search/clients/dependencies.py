"""What the search service depends on, and whether it is there."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from services.common import logs, tasks

log = logs.get(__name__)


class DependencyError(Exception):
    """A dependency is down or too slow.

    Attributes:
        name: which.
        detail: what is wrong with it.
        retry_after_seconds: when it may be worth trying again.
    """

    def __init__(self, name: str, detail: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


@dataclass
class Dependency:
    """One dependency and its last health check.

    Attributes:
        check: returns where it is ready, raises DependencyError where it is not.
        detail: what the last check said; empty where it was ready.
        failing_since: monotonic time of the first of the failed checks up to the last; None where
            the last one succeeded.
        circuits: the state of the circuit breaker of each of its replicas, by address.
    """

    check: Callable[[], Awaitable[None]]
    detail: str = "not checked yet"
    failing_since: float | None = field(default_factory=time.monotonic)
    circuits: Callable[[], Mapping[str, str]] = dict

    @property
    def ready(self) -> bool:
        """Whether the last check found it ready."""
        return self.failing_since is None


class Monitor:
    """Checks every dependency about once a second, and on demand.

    A search that waits on a dependency asks `stalled`: one slow check is no fault on a busy
    machine, a whole series of them is.
    """

    def __init__(
        self,
        dependencies: Mapping[str, Dependency],
        *,
        timeout_seconds: float,
        stall_seconds: float,
        interval_seconds: float = 1.0,
    ) -> None:
        self.dependencies = dependencies
        self._timeout = timeout_seconds
        self._stall = stall_seconds
        self._interval = interval_seconds
        self._task: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to check in the background."""
        self._task = asyncio.create_task(self._watch(), name="dependency-monitor")

    async def stop(self) -> None:
        """End the background checks."""
        await tasks.end(*(task for task in (self._task, self._checking) if task is not None))

    async def _watch(self) -> None:
        while True:
            await self.check()
            await asyncio.sleep(self._interval)

    async def check(self) -> None:
        """Check all dependencies side by side, each within its timeout.

        Those who ask while a check is under way share it: a thousand callers who come at once are
        no reason to ask each service a thousand times.
        """
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check_all(), name="dependency-check")
        await asyncio.shield(self._checking)

    async def _check_all(self) -> None:
        await asyncio.gather(*(self._check(name) for name in self.dependencies))

    async def _check(self, name: str) -> None:
        dependency = self.dependencies[name]
        try:
            async with asyncio.timeout(self._timeout):
                await dependency.check()
        except (DependencyError, TimeoutError) as error:
            was_ready = dependency.ready
            slow = f"no answer within {self._timeout:g} s"
            dependency.detail = error.detail if isinstance(error, DependencyError) else slow
            dependency.failing_since = dependency.failing_since or time.monotonic()
            if was_ready:
                log.warning("dependency down", dependency=name, detail=dependency.detail)
            return
        was_ready = dependency.ready
        dependency.detail = ""
        dependency.failing_since = None
        if not was_ready:
            log.info("dependency ready", dependency=name)

    @property
    def ready(self) -> bool:
        """Whether the last checks found every dependency ready."""
        return all(dependency.ready for dependency in self.dependencies.values())

    async def require(self) -> None:
        """Check now; DependencyError for the first dependency that is not ready."""
        await self.check()
        for name, dependency in self.dependencies.items():
            if not dependency.ready:
                raise DependencyError(name, dependency.detail)

    def stalled(self) -> DependencyError | None:
        """The dependency that has failed its checks for longer than allowed, if any."""
        for name, dependency in self.dependencies.items():
            since = dependency.failing_since
            if since and time.monotonic() - since > self._stall:
                return DependencyError(name, dependency.detail)
        return None
