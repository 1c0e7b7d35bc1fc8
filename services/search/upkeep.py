"""What a replica does all the time: renew its leases, look for orphans, read logs, hear nudges."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from services.common import logs, tasks
from services.common.models import pins
from services.common.models.manifest import Kind
from services.search.clients.dependencies import DependencyError
from services.search.store import keys
from services.search.store.connection import Connection
from services.search.store.leases import Leases
from services.search.store.searches import SearchStore

log = logs.get(__name__)

# How far behind a follower may be of a search that another replica holds.
_TAIL_SECONDS = 0.1
# So many reads of followed logs, and then a look whether the searches still exist.
_TAILS_PER_CHECK = 100
_RECONNECT_SECONDS = 1.0
# A version is younger than what may be collected for longer than this; pins last ten times that.
_PIN_SECONDS = pins.TTL_SECONDS / 10


class Duties(Protocol):
    """What the upkeep tells the manager of searches."""

    async def adopt_orphans(self) -> bool:
        """Take over some searches that nobody holds; whether there may be more of them."""

    def lose(self, search_id: str) -> None:
        """Another replica has taken a search."""

    def wish_end(self, search_id: str) -> None:
        """Somebody has asked for the end of a search."""

    def pinned_models(self) -> Iterable[tuple[Kind, str]]:
        """Model versions that the searches held here must go on with."""


class Upkeep:
    """The background tasks of one replica; none of them ends before `stop`."""

    def __init__(
        self,
        connection: Connection,
        store: SearchStore,
        leases: Leases,
        duties: Duties,
        *,
        lease_seconds: float,
        adoption_seconds: float,
    ) -> None:
        self._connection = connection
        self._store = store
        self._leases = leases
        self._duties = duties
        self._renewal_seconds = lease_seconds / 3
        self._adoption_seconds = adoption_seconds
        self._look_now = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._always(duty), name=duty.__name__)
            for duty in (self._renew, self._pin_models, self._adopt, self._read_tails, self._listen)
        ]

    async def stop(self) -> None:
        """End all of it."""
        await tasks.end(*self._tasks)

    async def _always(self, duty: Callable[[], Awaitable[None]]) -> None:
        """Do a duty again and again, whatever happens to it once."""
        while True:
            try:
                await duty()
            except DependencyError as error:
                log.debug("upkeep waits", detail=str(error))
                await asyncio.sleep(min(self._renewal_seconds, _RECONNECT_SECONDS))
            except Exception:
                log.exception("upkeep failed")
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _renew(self) -> None:
        for search_id, standing in (await self._leases.renew()).items():
            if standing == "lost":
                self._duties.lose(search_id)
            elif standing == "cancel":
                self._duties.wish_end(search_id)
        await asyncio.sleep(self._renewal_seconds)

    async def _pin_models(self) -> None:
        """Keep the versions that searches are pinned to from being collected."""
        needed = set(self._duties.pinned_models())
        commands = [one for kind, version in needed for one in pins.commands(kind, version)]
        for result in await self._connection.pipeline(commands):
            if isinstance(result, DependencyError):
                raise result
        await asyncio.sleep(_PIN_SECONDS)

    async def _adopt(self) -> None:
        self._look_now.clear()
        if await self._duties.adopt_orphans():
            return
        # Jitter keeps replicas from looking all at the same time.
        pause = self._adoption_seconds * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
        try:
            async with asyncio.timeout(pause):
                await self._look_now.wait()
        except TimeoutError:
            return

    async def _read_tails(self) -> None:
        for _ in range(_TAILS_PER_CHECK):
            await self._store.read_tails()
            await asyncio.sleep(_TAIL_SECONDS)
        await self._store.drop_dead_tails()

    async def _listen(self) -> None:
        async for message in self._connection.messages(keys.NUDGES):
            word, _, search_id = message.partition(" ")
            if word == "orphans":
                self._look_now.set()
            elif word == "cancel" and search_id in self._store.held:
                self._duties.wish_end(search_id)
