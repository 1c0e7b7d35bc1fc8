"""Keeps a zygote alive: starts it, and replaces it when it has died."""

import asyncio
from collections.abc import Callable
from typing import Final

from services.common import logs
from services.sandbox import linux
from services.sandbox.confine import Bounds
from services.sandbox.control import Ready
from services.sandbox.kinds import Kind
from services.sandbox.nursery import Nursery, ZygoteLost

log = logs.get(__name__)

# Pauses before the first, second, ... attempt to replace a zygote; the last one repeats.
_PAUSES_SECONDS: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
# A zygote is up within a few seconds of its predecessor's death, on a busy machine within twenty.
_PATIENCE_SECONDS: Final = 30.0


class Keeper:
    """Owns the zygote.

    Args:
        bounds: hard limits of every process.
        kind: of its interpreters.
        on_start: called with each zygote once it is up.
        on_change: called whenever `up` changes.

    Attributes:
        restarts: zygotes that were replaced so far.
    """

    def __init__(
        self,
        bounds: Bounds,
        kind: Kind,
        on_start: Callable[[Nursery], None],
        on_change: Callable[[], None],
    ) -> None:
        self.restarts = 0
        self._on_change = on_change
        self._bounds = bounds
        self._kind = kind
        self._on_start = on_start
        self._nursery = Nursery(bounds, kind)
        self._up = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> Ready:
        """Bring up the first zygote. linux.Unsupported where it does not come up."""
        linux.machine()
        # What a zygote's death orphans comes to us, to be collected.
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        ready = await self._nursery.start()
        self._on_start(self._nursery)
        self._up.set()
        self._watch = asyncio.create_task(self._replace_dead())
        return ready

    @property
    def up(self) -> bool:
        """Whether there is a zygote."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Return when a zygote is up. ZygoteLost where none comes up in time."""
        if self.up:
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._up.wait()
        except TimeoutError as error:
            raise ZygoteLost("the zygote is down and does not come up") from error

    async def _replace_dead(self) -> None:
        failures = 0
        while True:
            await self._nursery.died()
            self._up.clear()
            self._on_change()
            await self._nursery.stop()
            await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
            self._nursery = Nursery(self._bounds, self._kind)
            try:
                await self._nursery.start()
            except linux.Unsupported as error:
                failures += 1
                log.warning(
                    "zygote cannot be replaced",
                    kind=self._kind,
                    error=str(error),
                    failures=failures,
                )
                continue
            failures = 0
            self.restarts += 1
            self._on_start(self._nursery)
            self._up.set()
            self._on_change()
            log.info("zygote replaced", kind=self._kind)

    async def stop(self) -> None:
        """End the zygote and every process."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await self._nursery.stop()
