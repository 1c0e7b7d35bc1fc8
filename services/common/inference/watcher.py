"""Follows an alias of the store: what it points to is served, soon after it has moved."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from services.common import logs
from services.common.inference.engine import EngineError
from services.common.inference.host import Host, Loaded
from services.common.inference.last_good import MAX_DEATHS
from services.common.inference.serving import Model
from services.common.inference.settings import ModelSettings
from services.common.models import nudge
from services.common.models.aliases import RESERVED
from services.common.models.errors import ModelError, ModelNotFound

LONGEST_PAUSE_SECONDS = 600.0

log = logs.get(__name__)


async def start(host: Host[Model], name: str, *, may_lack: bool = False) -> str | None:
    """Serve what a setting names at the start; the alias to follow, None for a version.

    A version that cannot be loaded makes way for the one that was served last, and those that the
    alias pointed to before: a service that restarts comes back with what worked.

    Args:
        host: not loaded.
        name: a version or an alias.
        may_lack: whether an alias may point nowhere yet; nothing is then loaded.

    Raises:
        ModelError, EngineError: nothing of it can be served.
    """
    store, kind = host.store, host.kind
    try:
        moves = await asyncio.to_thread(store.aliases.history, kind, name)
        if name not in RESERVED and not moves:
            await host.load(name)
            return None
        wanted = list(dict.fromkeys(move.version for move in reversed(moves)))
        target = await asyncio.to_thread(store.aliases.target, kind, name)
    except ModelError as error:
        if isinstance(error, ModelNotFound) or host.memory.good is None:
            raise
        log.warning("the store does not answer", reason=str(error))
        wanted, target = [], None
    if target is not None:
        wanted = list(dict.fromkeys([target, *wanted]))
    failures: list[Exception] = []
    for version in host.memory.order(wanted):
        try:
            await host.load(version)
        except (ModelError, EngineError) as error:
            failures.append(error)
        else:
            host.meters.failing.set("setting", failing=bool(failures))
            return name
    if failures:
        raise failures[0]
    if may_lack:
        return name
    raise ModelNotFound(f"{kind} alias {name!r} points nowhere yet (in {store.location})")


class Watcher:
    """Loads what an alias points to when it moves, or when it is asked to."""

    def __init__(
        self,
        settings: ModelSettings,
        target: Callable[[], Awaitable[str | None]],
        load: Callable[[str], Awaitable[Loaded]],
        deaths: Callable[[str], int] = lambda version: 0,
        alarm: Callable[[bool], None] = lambda failing: None,
        served: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Nothing happens before `run`.

        Args:
            settings: how often to look.
            target: where the alias points; None for no alias. Raises ModelError.
            load: serves a version. Raises ModelError or EngineError.
            deaths: how often this process has died in loading a version.
            alarm: told whether what the alias points to cannot be served.
            served: the version that is served, whoever asked for it.
        """
        self._settings = settings
        self._target = target
        self._load = load
        self._deaths = deaths
        self._alarm = alarm
        self._served = served
        self._wake = asyncio.Event()
        self._followed: str | None = None
        self._failed_for: str | None = None
        self._failures = 0
        self._not_before = 0.0
        self._unreachable = False

    def nudge(self) -> None:
        """Look now."""
        self._wake.set()

    async def run(self, served: str | None) -> None:
        """Follow the alias for ever; `served` is what it pointed to when that was loaded."""
        self._followed = served
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._wake.wait()
            self._wake.clear()
            await self.look()

    async def look(self) -> None:
        """Load what the alias points to, if that has changed; failures are tried again, rarer."""
        try:
            target = await self._target()
        except (ModelError, OSError) as error:
            if not self._unreachable:
                log.warning("cannot look at the alias", reason=str(error))
            self._unreachable = True
            return
        self._unreachable = False
        # An alias that comes back from what failed is followed too: its version is asked for again.
        if target is None or (target == self._followed and self._failed_for is None):
            return
        moved = self._failed_for != target
        if moved:
            self._failures, self._not_before = 0, 0.0
        self._failed_for = target
        if self._deaths(target) >= MAX_DEATHS:
            if moved:
                log.error("left alone: this service died in loading it", model=target)
                self._alarm(True)
            return
        if time.monotonic() >= self._not_before or self._served() == target:
            await self._try(target)

    async def _try(self, target: str) -> None:
        try:
            await self._load(target)
        except (ModelError, EngineError):
            self._alarm(True)
            self._failures += 1
            pause = self._settings.poll_seconds * 2**self._failures
            self._not_before = time.monotonic() + min(pause, LONGEST_PAUSE_SECONDS)
            return
        self._followed, self._failed_for, self._failures = target, None, 0
        self._alarm(False)


async def follow(host: Host[Model], alias: str, settings: ModelSettings) -> None:
    """Watch an alias for a host, and listen for nudges; for ever."""

    async def target() -> str | None:
        return await asyncio.to_thread(host.store.aliases.target, host.kind, alias)

    def alarm(failing: bool) -> None:
        host.meters.failing.set("setting", failing=failing)
        if not failing:
            # All is as it should be: what an admin once wanted is over.
            host.meters.failing.set("admin", failing=False)

    def served() -> str | None:
        return host.current.manifest.version if host.current else None

    watcher = Watcher(settings, target, host.load, host.memory.deaths, alarm, served)
    async with asyncio.TaskGroup() as group:
        group.create_task(watcher.run(served()), name="watch-alias")
        if settings.redis_url:
            listening = nudge.listen(settings.redis_url, host.kind, watcher.nudge)
            group.create_task(listening, name="listen-for-nudges")
