"""Versions tried beside the model: LoRA adapters of it on the same engine, chosen by each call."""

import asyncio

from services.common import logs
from services.common.inference.engine import EngineError
from services.common.inference.host import Host
from services.common.inference.serving import Serving
from services.common.models import lora
from services.common.models.errors import ModelError
from services.common.models.store import StoredModel
from services.policy.craft import make, prove
from services.policy.sampler import Served
from services.policy.settings import PolicySettings

log = logs.get(__name__)


class Trials:
    """Keeps the adapters of some versions and aliases served, as far as they fit the model."""

    def __init__(
        self, host: Host[Served], serving: Serving[Served], settings: PolicySettings
    ) -> None:
        self._host = host
        self._serving = serving
        self._names = settings.trial_names
        self._poll = settings.poll_seconds
        self._told: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Follow the names for ever."""
        while self._names:
            await self.look()
            await asyncio.sleep(self._poll)
        await asyncio.get_running_loop().create_future()

    async def look(self) -> None:
        """Load what is missing of what the names point to, and let go of the rest."""
        try:
            wanted = await asyncio.to_thread(self._wanted)
        except (ModelError, OSError) as error:
            log.warning("cannot look at the trials", reason=str(error))
            return
        async with self._host.still():
            main = self._serving.main
            if main is None:
                return
            before = {
                version: self._serving.pick(version) for version in self._serving.versions[1:]
            }
            beside = {version: one for version, one in before.items() if version in wanted}
            for version in wanted:
                if version not in beside and version != main.version:
                    served = await self._try(version, main)
                    beside |= {version: served} if served else {}
            if beside.keys() != before.keys():
                self._serving.show(main, beside.values())
                self._host.meters.serve(main.version, sorted(beside))
            await self._let_go(before, beside)

    def _wanted(self) -> list[str]:
        resolved = (self._host.store.resolve("policy", name) for name in self._names)
        return list(dict.fromkeys(resolved))

    async def _try(self, version: str, main: Served) -> Served | None:
        try:
            stored = await asyncio.to_thread(self._host.store.open, "policy", version)
            served = await self._add(stored, main)
        except (ModelError, EngineError, OSError) as error:
            if (version, main.version) not in self._told:
                self._told.add((version, main.version))
                self._host.meters.failures.inc()
                self._complain(version, main, error)
            return None
        log.info("serving beside", model=version, main=main.version)
        return served

    def _complain(self, version: str, main: Served, error: Exception) -> None:
        log.error("cannot try beside", model=version, main=main.version, reason=str(error))

    async def _add(self, stored: StoredModel, main: Served) -> Served:
        manifest = stored.manifest
        if manifest.adapter is None or manifest.adapter.base != main.version:
            base = manifest.adapter.base if manifest.adapter else None
            raise ModelError(
                f"policy {manifest.version!r} is an adapter of {base!r}, not of {main.version!r}"
            )
        adapter = await main.engine.add_adapter(manifest.version, stored.path / lora.FOLDER)
        served = make(stored, main.engine, adapter)
        try:
            await prove(served)
        except BaseException:
            await main.engine.remove_adapter(adapter)
            raise
        return served

    async def _let_go(self, before: dict[str, Served], beside: dict[str, Served]) -> None:
        gone = [served for version, served in before.items() if version not in beside]
        if gone:
            await self._serving.left_by_now()
        for served in gone:
            if served.adapter is not None:
                await served.engine.remove_adapter(served.adapter)
