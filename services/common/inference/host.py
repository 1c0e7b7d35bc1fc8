"""One model on one engine: its start, its exchange under load, and the way back from a failure."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal

from services.common import home, logs
from services.common.inference import compatibility
from services.common.inference.engine import DEATH_POLL_SECONDS, Engine, EngineError
from services.common.inference.last_good import LastGood
from services.common.inference.meters import ReloadMeters
from services.common.inference.serving import Model, Serving
from services.common.inference.settings import ModelSettings
from services.common.models.errors import ModelError, ModelNotFound, StoreUnreachable
from services.common.models.manifest import Kind
from services.common.models.store import ModelStore, StoredModel

How = Literal["started", "already", "in_place", "second_engine", "restart"]

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did.

    Attributes:
        version: that is served now.
        how: it came to be.
        pause_seconds: how long new work waited; 0 where it did not.
        interrupted: pieces of work that were begun again or, if pinned, ended.
    """

    version: str
    how: How
    pause_seconds: float = 0.0
    interrupted: int = 0


@dataclass(frozen=True, slots=True)
class Craft(Generic[Model]):
    """What policy and PPM each do in their own way.

    Attributes:
        start: an engine on a folder.
        make: what is served, from a version and the engine that runs it; refuses what cannot be.
        prove: one real request, cheap: raises where its numbers make no sense.
        warm: requests that leave what all prompts share in the cache; not before every exchange.
    """

    start: Callable[[Path], Awaitable[Engine]]
    make: Callable[[StoredModel, Engine], Model]
    prove: Callable[[Model], Awaitable[None]]
    warm: Callable[[Model], Awaitable[None]]


class Host(Generic[Model]):
    """Keeps one version of a kind served; loads others one at a time.

    A load that fails leaves what was served before it.
    """

    def __init__(
        self,
        kind: Kind,
        name: str,
        settings: ModelSettings,
        craft: Craft[Model],
        serving: Serving[Model],
        set_health: Callable[[bool], Awaitable[None]],
        meters: ReloadMeters,
    ) -> None:
        self.kind = kind
        self.store = ModelStore(settings.store, cache=settings.store_cache)
        self.serving = serving
        self.meters = meters
        self._settings = settings
        self._craft = craft
        self._set_health = set_health
        self._engine: Engine | None = None
        self._current: StoredModel | None = None
        self._lock = asyncio.Lock()
        self._replacing = False
        self._lost = False
        folder = settings.state or home.home() / "serving"
        self.memory = LastGood(folder, kind, self.store.location, str(settings.port), name)

    @property
    def engine(self) -> Engine | None:
        """The engine that new work goes to."""
        return self._engine

    @property
    def current(self) -> StoredModel | None:
        """The version that is served."""
        return self._current

    async def load(self, version: str) -> Loaded:
        """Serve a version: fetch it, prove it, exchange it.

        Raises:
            ModelError: it cannot be had, or is refused; what was served before still is.
            EngineError: it cannot be run; likewise.
        """
        async with self._lock:
            if self._current and version == self._current.manifest.version:
                return Loaded(version, "already")
            self.memory.begin(version)
            try:
                stored = await asyncio.to_thread(self._fetch, version)
                loaded = await self._take(stored)
            except asyncio.CancelledError:
                # The process is told to stop, which says nothing of the version.
                self.memory.end(version, good=False)
                raise
            except (ModelError, EngineError) as error:
                self._failed(version, error)
                raise
            except Exception as error:
                self._failed(version, error)
                why = f"{type(error).__name__}: {error}"
                raise EngineError(f"cannot load {version}: {why}") from error
            self.memory.end(version, good=True)
            self._report(loaded)
            return loaded

    @contextlib.asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """No load begins in the block."""
        async with self._lock:
            yield

    async def died(self) -> None:
        """Return once the engine has died by itself."""
        while self._replacing or not self._is_dead:  # noqa: ASYNC110 - vLLM offers no event
            await asyncio.sleep(DEATH_POLL_SECONDS)

    @property
    def _is_dead(self) -> bool:
        return self._lost or (self._engine is not None and self._engine.dead)

    async def stop(self) -> None:
        """End the engine; blocks the event loop while it ends."""
        if self._engine is not None:
            await self._engine.stop()

    def _fetch(self, version: str) -> StoredModel:
        try:
            return self.store.open(self.kind, version)
        except StoreUnreachable as error:
            # What was fetched before serves as well as the original: it is proved by its checksums.
            try:
                return self.store.open_copy(self.kind, version)
            except ModelNotFound:
                raise error from None

    async def _take(self, stored: StoredModel) -> Loaded:
        version = stored.manifest.version
        if self._engine is None or self._current is None:
            await self._start(stored)
            await self._set_health(True)
            return Loaded(version, "started")
        why = await asyncio.to_thread(compatibility.difference, self._engine.model, stored.path)
        if why is None:
            return await self._in_place(stored, self._engine, self._current)
        log.info("needs an engine of its own", model=version, reason=why)
        if self._settings.second_engine:
            return await self._beside(stored, self._engine)
        return await self._restart(stored, self._engine, self._current)

    async def _start(self, stored: StoredModel) -> None:
        """Start an engine on a version and serve it to whoever comes; stop it where that fails."""
        engine = await self._craft.start(stored.path)
        try:
            model = self._craft.make(stored, engine)
            await self._craft.prove(model)
            await self._craft.warm(model)
        except BaseException:
            await engine.stop()
            raise
        self._show(stored, engine, model)

    async def _in_place(self, stored: StoredModel, engine: Engine, before: StoredModel) -> Loaded:
        began = time.monotonic()
        async with self.serving.closed(self._settings.swap_seconds) as interrupted:
            try:
                await engine.reload(stored.path)
                model = self._craft.make(stored, engine)
                await self._craft.prove(model)
            except Exception:
                await self._restore(engine, before)
                raise
            # The last thing before the door opens: from here on the version is the new one.
            self._show(stored, engine, model)
        pause = time.monotonic() - began
        return Loaded(stored.manifest.version, "in_place", pause, interrupted)

    async def _restore(self, engine: Engine, before: StoredModel) -> None:
        """Go back to the weights before; with a new engine where the old one cannot."""
        try:
            await engine.reload(before.path)
            model = self._craft.make(before, engine)
            await self._craft.prove(model)
        except Exception as error:
            log.warning("restarting the engine on the version before", reason=str(error))
            await self._replace(engine, before)
            return
        self._show(before, engine, model)

    async def _beside(self, stored: StoredModel, old: Engine) -> Loaded:
        await self._start(stored)
        # Work that the old engine has begun ends there.
        await self.serving.left_by_now()
        await old.stop()
        return Loaded(stored.manifest.version, "second_engine")

    async def _restart(self, stored: StoredModel, engine: Engine, before: StoredModel) -> Loaded:
        began = time.monotonic()
        async with self.serving.closed(self._settings.swap_seconds) as interrupted:
            try:
                await self._replace(engine, stored)
            except (ModelError, EngineError):
                await self._replace(engine, before)
                raise
        pause = time.monotonic() - began
        return Loaded(stored.manifest.version, "restart", pause, interrupted)

    async def _replace(self, old: Engine, stored: StoredModel) -> None:
        """Stop an engine and start another behind the closed door."""
        self._replacing = True
        await self._set_health(False)
        try:
            await old.stop()
            # Should this one fail too, there is none: the process ends, and begins anew.
            self._lost = True
            self.serving.show(None)
            await self._start(stored)
            self._lost = False
            await self._set_health(True)
        finally:
            self._replacing = False

    def _show(self, stored: StoredModel, engine: Engine, model: Model) -> None:
        self._engine, self._current = engine, stored
        self.serving.show(model)
        self.meters.serve(model.version, [])

    def _failed(self, version: str, error: Exception) -> None:
        self.memory.end(version, good=False)
        self.meters.failures.inc()
        served = self._current.manifest.version if self._current else None
        log.error("cannot load", model=version, serving=served, reason=str(error))

    def _report(self, loaded: Loaded) -> None:
        if loaded.how != "started":
            self.meters.reloads.labels(loaded.how).inc()
            self.meters.pause.observe(loaded.pause_seconds)
            self.meters.interrupted.inc(loaded.interrupted)
        log.info(
            "serving",
            model=loaded.version,
            how=loaded.how,
            pause_seconds=round(loaded.pause_seconds, 3),
            interrupted=loaded.interrupted,
            context_tokens=self._engine.context_tokens if self._engine else None,
        )
