"""All searches of this replica: admission, following, adoption, handover."""

import asyncio
import hashlib
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from services.common import logs, tracing
from services.common.grading.grader import Grader
from services.common.models.manifest import Kind
from services.search import metrics
from services.search.adoption import Adoption
from services.search.clients.calls import RejectedError
from services.search.clients.dependencies import Dependency, DependencyError, Monitor
from services.search.holder import Fate, Holder
from services.search.launcher import Launcher
from services.search.options import MAX_SEED
from services.search.plan import forest_config
from services.search.schemas import Solution, SolveRequest
from services.search.served import Served
from services.search.settings import SearchSettings
from services.search.store import keys
from services.search.store.claims import Claims
from services.search.store.connection import Connection
from services.search.store.entry import Entry
from services.search.store.errors import UnknownSearch
from services.search.store.events import Failed, Finished, Started
from services.search.store.leases import Leases
from services.search.store.searches import SearchStore
from services.search.upkeep import Upkeep

log = logs.get(__name__)

# Between the claim of an Idempotency-Key and its search lie a few round trips.
_CREATION_SECONDS = 5.0
_LOOK_SECONDS = 0.1
# How long a stopping replica waits for others to take what it has handed over.
_HANDOVER_SECONDS = 2.0


class BusyError(Exception):
    """As many searches are running as the service allows."""

    def __init__(self, limit: int, retry_after_seconds: int = 1) -> None:
        super().__init__(f"{limit} searches are running, which is the limit")
        self.retry_after_seconds = retry_after_seconds


class DrainingError(DependencyError):
    """This replica is stopping. A search that it was asked about goes on elsewhere.

    Attributes:
        search_id: that search; None where a new one was refused.
    """

    def __init__(self, search_id: str | None = None) -> None:
        super().__init__("search", "this replica is stopping; ask again")
        self.search_id = search_id


class SearchFailed(RuntimeError):  # noqa: N818 - a state
    """A search was ended by a fault of the service itself."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A search that was asked for.

    Attributes:
        search_id: its id.
        is_new: whether it was begun now; an Idempotency-Key may have stood for it already.
        keyed: whether it was asked for with an Idempotency-Key: whoever leaves may come back.
    """

    search_id: str
    is_new: bool = True
    keyed: bool = False


class Manager:
    """Runs searches for the REST and gRPC front ends; the grader is its owner's.

    Searches belong to the manager: a caller who leaves ends one only by `cancel`.

    Attributes:
        connection: to Redis.
        store: the searches in Redis.
        monitor: the watch over the dependencies.
        draining: whether it is stopping and takes no more searches.
    """

    def __init__(self, settings: SearchSettings, grader: Grader) -> None:
        self._settings = settings
        self.connection = Connection(
            settings.redis_url, timeout_seconds=settings.dependency_timeout_seconds
        )
        self.store = SearchStore(
            self.connection,
            replica=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
            lease_seconds=settings.lease_seconds,
            retention_seconds=settings.retention_seconds,
        )
        self.draining = False
        self._leases = Leases(self.connection, self.store, lease_seconds=settings.lease_seconds)
        self._claims = Claims(self.connection, keep_seconds=settings.idempotency_seconds)
        self._launcher = Launcher(settings, grader)
        self._holders: dict[str, Holder] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning = 0
        self.monitor = Monitor(
            {"redis": Dependency(self.connection.ping), **self._launcher.dependencies()},
            timeout_seconds=settings.dependency_timeout_seconds,
            stall_seconds=settings.stall_seconds,
        )
        self._adoption = Adoption(
            self.store,
            self._leases,
            self._launcher.end_session,
            max_adoptions=settings.max_adoptions,
        )
        self._upkeep = Upkeep(
            self.connection,
            self.store,
            self._leases,
            self,
            lease_seconds=settings.lease_seconds,
            adoption_seconds=settings.adoption_seconds,
        )

    async def served(self) -> Served:
        """What a search that begins now would be answered with. DependencyError, RejectedError."""
        return await self._launcher.served()

    async def start(self) -> None:
        """Start the watch over the dependencies, and look after searches."""
        await self.monitor.start()
        self._upkeep.start()

    async def close(self) -> None:
        """Hand over what still runs and give everything back."""
        self.draining = True
        await self._hand_over()
        self._end_followers()
        await self._upkeep.stop()
        await self.monitor.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()
        await self._launcher.close()

    # ---- for callers ----------------------------------------------------------------------------

    async def begin(
        self,
        request: SolveRequest,
        *,
        key_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Handle:
        """Admit a search and start it, unless the idempotency key stands for one already.

        BusyError where too many are running; DependencyError where a dependency is down, of which
        DrainingError is one kind; ClaimConflict where the key stood for another request.
        """
        search_id = keys.new_id()
        if idempotency_key is None:
            await self._begin(search_id, request, key_id)
            return Handle(search_id)
        fingerprint = _fingerprint(request)
        claimed = await self._claims.claim(idempotency_key, key_id, fingerprint, search_id)
        if not claimed.is_new:
            await self._await_creation(claimed.search_id)
            return Handle(claimed.search_id, is_new=False, keyed=True)
        try:
            await self._begin(search_id, request, key_id)
        except DependencyError as error:
            # Where Redis failed, the search may exist although nobody could say so: the claim
            # stays, and whoever repeats the request gets that search.
            if error.name != "redis":
                await self._claims.drop(idempotency_key, key_id, search_id)
            raise
        except Exception:
            await self._claims.drop(idempotency_key, key_id, search_id)
            raise
        return Handle(search_id, keyed=True)

    async def recall(
        self, request: SolveRequest, key_id: str | None, idempotency_key: str
    ) -> Handle | None:
        """The search that an idempotency key stands for; None for a new key. ClaimConflict."""
        known = await self._claims.recall(idempotency_key, key_id, _fingerprint(request))
        if known is None:
            return None
        await self._await_creation(known)
        return Handle(known, is_new=False, keyed=True)

    def watch(self, search_id: str, after: str = "0") -> AsyncGenerator[Entry, None]:
        """Entries of a search's log after an id, as they come, up to its last.

        Whichever replica runs it. UnknownSearch; ValueError where `after` is no id; LogError.
        DependencyError where Redis is down, of which DrainingError says that this replica stops:
        ask another, after the last id that was seen.
        """
        return self.store.follow(search_id, after)

    async def wait(self, search_id: str) -> Solution:
        """The solution of a search.

        Beside what `watch` raises: DependencyError or RejectedError that ended the search,
        SearchFailed.
        """
        match (await self.store.end(search_id)).event:
            case Finished(solution=solution):
                return solution
            case Failed() as event:
                raise failure(event)
        raise UnknownSearch(search_id)

    async def cancel(self, search_id: str) -> bool:
        """End a search, whichever replica holds it; whether it was running. UnknownSearch.

        Where it is held here, it has let go of everything on return.
        """
        if (holder := self._holders.get(search_id)) is not None:
            await holder.end(Fate.CANCELLED)
            if holder.has_ended:
                return True
        return await self.store.request_cancel(search_id)

    # ---- admission ------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Searches that this replica holds or is about to."""
        return len(self._holders) + self._beginning

    async def _begin(self, search_id: str, request: SolveRequest, key_id: str | None) -> None:
        limit = self._settings.max_searches
        if self.draining:
            raise DrainingError
        if self.running >= limit:
            raise BusyError(limit)
        self._beginning += 1
        try:
            await self.monitor.require()
            started = await self._started(search_id, request)
            lease = await self.store.create(search_id, started, key_id)
            self._hold(search_id, self._launcher.holder(started, self.store, lease, self.monitor))
        finally:
            self._beginning -= 1

    async def _started(self, search_id: str, request: SolveRequest) -> Started:
        seed = request.search.seed
        ppm = await self._launcher.ppm_version() if request.search.guided else None
        return Started(
            request=request,
            config=forest_config(request, ppm),
            seed=secrets.randbelow(MAX_SEED) if seed is None else seed,
            ppm=ppm,
            policy=await self._launcher.policy_version(search_id, request),
            traceparent=tracing.traceparent(),
        )

    async def _await_creation(self, search_id: str) -> None:
        """Wait for a search that another caller, with the same key, is about to begin."""
        deadline = time.monotonic() + _CREATION_SECONDS
        while await self.store.summary(search_id) is None:
            if time.monotonic() > deadline:
                raise DependencyError("search", "the key's first request has not begun it yet")
            await asyncio.sleep(_LOOK_SECONDS)

    def _hold(self, search_id: str, holder: Holder) -> None:
        self._holders[search_id] = holder
        metrics.RUNNING.inc()
        task = holder.start(open_seconds=self._settings.patience_seconds + 1.0)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._let_go(done, search_id, holder))

    def _let_go(self, task: asyncio.Task[None], search_id: str, holder: Holder) -> None:
        self._tasks.discard(task)
        metrics.RUNNING.dec()
        if self._holders.get(search_id) is holder:
            del self._holders[search_id]
        # A lease that it still has is no longer renewed: the search has ended, or others take it.
        if self.store.held.get(search_id) is holder.journal.lease:
            del self.store.held[search_id]
        tail = self.store.tails.get(search_id)
        if holder.error is not None and tail is not None:
            tail.fail(holder.error)

    # ---- upkeep ---------------------------------------------------------------------------------

    async def adopt_orphans(self) -> bool:
        """Take over some searches that nobody holds; whether there may be more of them."""
        room = self._settings.max_searches - self.running
        if self.draining or room <= 0 or not self.monitor.ready:
            return False
        found = False
        async for adopted in self._adoption.look(room, avoid=self._holders):
            found = True
            if not self._launcher.can_run(adopted.started):
                await self._leases.release([adopted.lease], now=False)
                continue
            try:
                holder = self._launcher.holder(
                    adopted.started, self.store, adopted.lease, self.monitor, adopted.past
                )
            except Exception as error:
                # Its entries can be read, but do not make a tree.
                why = f"its log cannot be replayed: {type(error).__name__}: {error}"
                await self._adoption.give_up(adopted.lease, why)
                continue
            metrics.ADOPTED.inc()
            self._hold(adopted.lease.search_id, holder)
            if adopted.cancelled:
                self.wish_end(adopted.lease.search_id)
        return found

    def lose(self, search_id: str) -> None:
        """Another replica has taken a search."""
        log.info("search left to another replica", search_id=search_id, why="its lease was lost")
        self._end_soon(search_id, Fate.LOST)

    def wish_end(self, search_id: str) -> None:
        """Somebody has asked for the end of a search."""
        self._end_soon(search_id, Fate.CANCELLED)

    def pinned_models(self) -> list[tuple[Kind, str]]:
        """Model versions that the searches held here must go on with."""
        return [model for holder in self._holders.values() for model in holder.pinned_models]

    def _end_soon(self, search_id: str, fate: Fate) -> None:
        if (holder := self._holders.get(search_id)) is not None:
            task = asyncio.create_task(holder.end(fate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # ---- drain ----------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Take no more searches, hand over those that are held, then end all following.

        Callers that wait here are served on for as long as `seconds` where other replicas take the
        searches that they wait for; where none does, they get DrainingError after two seconds.
        """
        self.draining = True
        deadline = time.monotonic() + seconds
        await self._hand_over()
        await self._relay(deadline)
        self._end_followers()

    async def _hand_over(self) -> None:
        holders = list(self._holders.values())
        await asyncio.gather(*(holder.end(Fate.HANDED_OVER) for holder in holders))
        leases = [holder.journal.lease for holder in holders if holder.is_open]
        try:
            await self._leases.release(leases)
        except DependencyError as error:
            # Others take them when the leases run out.
            log.warning("leases not given back", detail=error.detail)
        if leases:
            log.info("handed over", searches=len(leases))

    async def _relay(self, deadline: float) -> None:
        patience = time.monotonic() + _HANDOVER_SECONDS
        while (followed := self.store.tails.ids()) and time.monotonic() < deadline:
            try:
                held = await self._leases.held_by_anyone(followed)
            except DependencyError:
                return
            if not held and time.monotonic() >= patience:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _end_followers(self) -> None:
        for search_id in self.store.tails.ids():
            if (tail := self.store.tails.get(search_id)) is not None:
                tail.fail(DrainingError(search_id))


def failure(event: Failed) -> Exception:
    """What a caller of a search that was ended by a fault is told."""
    match event.cause:
        case "internal":
            return SearchFailed(event.detail)
        case "problem":
            return RejectedError(event.detail)
    return DependencyError(event.cause, event.detail)


def _fingerprint(request: SolveRequest) -> str:
    return hashlib.blake2b(request.model_dump_json().encode(), digest_size=16).hexdigest()
