"""What the REST and gRPC front ends share: who may do what, and the ways into the manager."""

import asyncio
import contextlib
from collections.abc import Coroutine, Generator
from typing import Any

from services.search.access.guard import Caller, Guard
from services.search.access.key_store import KeyStore
from services.search.access.keys import Scope
from services.search.clients.dependencies import DependencyError
from services.search.manager import Handle, Manager
from services.search.memory import Watermark
from services.search.narration import Narrations
from services.search.schemas import SolveRequest
from services.search.settings import SearchSettings
from services.search.store.errors import UnknownSearch
from services.search.store.searches import Page
from services.search.store.summary import Status, Summary


class Front:
    """Searches as callers see them.

    Attributes:
        manager: runs them.
        guard: admits callers.
        narrations: tell those who follow searches what goes on in them.
        heartbeat_seconds: how long a stream stays silent.
    """

    def __init__(
        self, manager: Manager, guard: Guard, watermark: Watermark, *, heartbeat_seconds: float
    ) -> None:
        self.manager = manager
        self.guard = guard
        self.narrations = Narrations()
        self.heartbeat_seconds = heartbeat_seconds
        self._watermark = watermark
        self._farewells: set[asyncio.Task[None]] = set()

    async def begin(
        self, caller: Caller, request: SolveRequest, idempotency_key: str | None = None
    ) -> Handle:
        """Begin a search, or find the one that the idempotency key stands for.

        Beside what Manager.begin raises: Forbidden, QuotaExceeded, MemoryShort.
        """
        caller.require(Scope.SOLVE)
        if idempotency_key is not None:
            # What has begun takes nothing more: its caller comes back whatever is used up.
            known = await self.manager.recall(request, caller.key_id, idempotency_key)
            if known is not None:
                return known
        self._watermark.check()
        async with self.guard.place(caller, request.budget.seconds) as place:
            handle = await self.manager.begin(
                request, key_id=caller.key_id, idempotency_key=idempotency_key
            )
            await place.hand_to(handle.search_id)
        return handle

    async def find(self, caller: Caller, search_id: str) -> Summary:
        """A search that the caller may see; UnknownSearch where there is none."""
        summary = await self.manager.store.summary(search_id)
        # Somebody else's search looks as one that does not exist.
        if summary is None or not caller.may_see(summary.key_id):
            raise UnknownSearch(search_id)
        return summary

    async def page(
        self, caller: Caller, before: str | None, limit: int, status: Status | None
    ) -> Page:
        """The searches that the caller may see, the newest first."""
        owner = None if caller.is_admin else caller.key_id
        return await self.manager.store.page(before, limit, status, owner)

    async def cancel(self, caller: Caller, search_id: str) -> bool:
        """End a search that the caller may see; False where it has ended. UnknownSearch."""
        if not caller.is_admin:
            caller.require(Scope.SOLVE)
        await self.find(caller, search_id)
        return await self.manager.cancel(search_id)

    @contextlib.contextmanager
    def leaving(self, handle: Handle) -> Generator[None, None, None]:
        """A caller's wait for a search: one who leaves early cancels it.

        Unless it has an idempotency key, with which the caller, cut off perhaps, may come back.
        """
        try:
            yield
        except (GeneratorExit, asyncio.CancelledError):
            if not handle.keyed:
                self.abandon(handle.search_id)
            raise

    def abandon(self, search_id: str) -> None:
        """End, in the background, a search whose only caller has left."""
        self._spawn(self._abandon(search_id))

    async def _abandon(self, search_id: str) -> None:
        # Where Redis is away, nobody can be told; the search's budget ends it.
        with contextlib.suppress(DependencyError, UnknownSearch):
            await self.manager.cancel(search_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)


def open_front(manager: Manager, settings: SearchSettings) -> Front:
    """The front of a manager; BadSettings where the admin key cannot be read."""

    async def is_over(search_id: str) -> bool:
        summary = await manager.store.summary(search_id)
        return summary is None or summary.status != "running"

    guard = Guard(
        KeyStore(manager.connection),
        required=settings.auth == "keys",
        admin_key=settings.read_admin_key(),
        is_over=is_over,
    )
    watermark = Watermark(settings.max_memory_bytes, settings.memory_share)
    return Front(manager, guard, watermark, heartbeat_seconds=settings.heartbeat_seconds)
