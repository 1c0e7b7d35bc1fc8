"""Taking over searches whose replica has died, stalled or stopped."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from dataclasses import dataclass

from services.common import logs, tracing
from services.search.clients.calls import RejectedError
from services.search.clients.dependencies import DependencyError
from services.search.store.errors import LeaseLost
from services.search.store.events import Event, Failed, LogError, SchemaError, Started, TrialTold
from services.search.store.lease import Lease, Taken
from services.search.store.leases import Leases
from services.search.store.searches import SearchStore

log = logs.get(__name__)

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Adopted:
    """A search to go on with.

    Attributes:
        lease: the right to write its log.
        started: what it was asked.
        past: the trials in its log.
        cancelled: whether somebody has asked for its end.
    """

    lease: Lease
    started: Started
    past: tuple[TrialTold, ...]
    cancelled: bool


class Adoption:
    """Takes over orphans; a search that nobody can go on with is ended after a few attempts."""

    def __init__(
        self,
        store: SearchStore,
        leases: Leases,
        end_session: Callable[[str], Awaitable[None]],
        *,
        max_adoptions: int,
    ) -> None:
        """`end_session` closes the sandbox session of a search; DependencyError, RejectedError."""
        self._store = store
        self._end_session = end_session
        self._leases = leases
        self._max_adoptions = max_adoptions

    async def look(self, room: int, avoid: Container[str]) -> AsyncIterator[Adopted]:
        """Take up to `room` orphans, but none that is to be avoided.

        One that cannot be taken keeps no other from it. DependencyError where Redis is down.
        """
        for search_id in await self._leases.orphans(min(room, _BATCH)):
            if search_id in avoid:
                continue
            taken = await self._leases.take(search_id)
            if taken is not None and (one := await self._read(taken)) is not None:
                yield one

    async def _read(self, taken: Taken) -> Adopted | None:
        lease = taken.lease
        try:
            entries = await self._store.entries(lease.search_id)
            started, past = _split([entry.event for entry in entries], lease)
        except SchemaError as error:
            # Written by a newer version, which is for a newer replica to go on with.
            log.warning("search left to others", search_id=lease.search_id, detail=str(error))
            await self._leases.release([lease], now=False)
            return None
        except LogError as error:
            await self.give_up(lease, f"its log cannot be read: {error}")
            return None
        except DependencyError:
            with contextlib.suppress(DependencyError):
                await self._leases.release([lease])
            raise
        if taken.adoptions > self._max_adoptions:
            why = f"{self._max_adoptions} replicas took it over and logged no trial"
            await self.give_up(lease, why)
            return None
        with tracing.span_under(started.traceparent, "adoption", search=lease.search_id):
            log.info(
                "search adopted", search_id=lease.search_id, trials=len(past), token=lease.token
            )
        return Adopted(lease, started, past, taken.cancelled)

    async def give_up(self, lease: Lease, why: str) -> None:
        """End a search that cannot be gone on with as failed."""
        log.error("search given up", search_id=lease.search_id, why=why)
        try:
            await self._store.append(lease, [Failed("internal", why)], last=True)
        except LeaseLost as lost:
            log.info("search left to another replica", search_id=lost.search_id, why=lost.why)
            return
        finally:
            # Where its end could not be written, the lease runs out, and somebody tries again.
            self._store.held.pop(lease.search_id, None)
        try:
            await self._end_session(lease.search_id)
        except (DependencyError, RejectedError) as error:
            log.warning("session not closed", search_id=lease.search_id, detail=str(error))


def _split(events: Sequence[Event], lease: Lease) -> tuple[Started, tuple[TrialTold, ...]]:
    if not events or not isinstance(events[0], Started):
        raise LogError("it does not begin with a started event")
    if len(events) != lease.seq:
        raise LogError(f"it has {len(events)} events and should have {lease.seq}")
    past = tuple(event for event in events[1:] if isinstance(event, TrialTold))
    if len(past) != len(events) - 1:
        raise LogError("it holds more than trials, and has not ended")
    return events[0], past
