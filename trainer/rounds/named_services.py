"""Services that run elsewhere and follow an alias: they are reloaded, not restarted."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

from services.common.models.manifest import Kind
from services.common.models.store import ModelStore
from trainer.evaluation.service import SolveFailed, connect
from trainer.rounds import config
from trainer.rounds.services import ServicesAbsent, Serving

_LOOK_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 60.0


class NamedServices:
    """Services at addresses. Implements trainer.rounds.services.Services."""

    def __init__(self, settings: config.Services, store: ModelStore, by: str) -> None:
        """By the addresses in the settings; `by` moves the alias."""
        self._settings, self._store, self._by = settings, store, by

    @contextlib.asynccontextmanager
    async def serving(self, policy: str, ppm: str) -> AsyncIterator[Serving]:
        """Move the alias, and wait until the services serve what it points to."""
        await asyncio.to_thread(self._point, "policy", policy)
        if ppm:
            await asyncio.to_thread(self._point, "ppm", ppm)
        target = self._settings.search
        await self._wait(target, policy, ppm)
        models = {"policy": policy, "ppm": ppm}
        yield Serving(target, self._settings.redis_url, models)

    @contextlib.asynccontextmanager
    async def bootstrap(self, what: config.Bootstrap) -> AsyncIterator[Serving]:
        """A model of the store; programs cannot be started from here."""
        if what.module:
            raise ServicesAbsent(
                f"bootstrap.module: {what.module} has to run behind services.search; "
                "name a model, or leave services.search empty for a stack of one's own"
            )
        # It may be an alias, and what answers names its version.
        version = await asyncio.to_thread(self._store.resolve, "policy", what.model)
        async with self.serving(version, "") as where:
            yield where

    def _point(self, kind: Kind, version: str) -> None:
        alias, aliases = self._settings.alias, self._store.aliases
        before = aliases.target(kind, alias)
        if before != version:
            self._store.open(kind, version, verify=False)
            reason = "served to harvest or to measure"
            aliases.move(kind, alias, version, by=self._by, expect=before, reason=reason)

    async def _wait(self, target: str, policy: str, ppm: str) -> None:
        """Until the versions answer, any PPM where none is asked for. ServicesAbsent otherwise."""
        seconds = self._settings.reload_seconds
        deadline = time.monotonic() + seconds
        async with connect(target, min(_PATIENCE_SECONDS, seconds)) as service:
            while True:
                try:
                    info = await service.info()
                except SolveFailed as failure:
                    found = f"says {failure}"
                else:
                    if info.policy == policy and ppm in ("", info.ppm):
                        return
                    found = f"serves policy {info.policy!r} and ppm {info.ppm!r}"
                if time.monotonic() > deadline:
                    raise ServicesAbsent(
                        f"{target} {found} after {seconds:g} s, not {policy!r} and {ppm!r}: do its "
                        f"models follow the alias {self._settings.alias!r}?"
                    )
                await asyncio.sleep(_LOOK_SECONDS)
