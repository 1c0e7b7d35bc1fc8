"""The log of one search, as its driver writes it."""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from services.common import logs
from services.search.clients.dependencies import DependencyError
from services.search.store.events import Event
from services.search.store.lease import Lease
from services.search.store.searches import SearchStore

log = logs.get(__name__)

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Batch:
    events: tuple[Event, ...]
    last: bool
    name: str


class Journal:
    """Writes under a lease; outlives a Redis that is away, restarted or full for a while."""

    def __init__(self, store: SearchStore, lease: Lease, *, patience_seconds: float) -> None:
        self._store = store
        self._patience = patience_seconds
        self._hurried = asyncio.Event()
        self._pending: list[_Batch] = []
        """What may or may not be in the log: written again, before anything else, it is once."""
        self.lease = lease

    async def append(self, events: Sequence[Event], *, last: bool = False) -> None:
        """Write events, again and again for as long as patience lasts, but never twice.

        LeaseLost; DependencyError when patience has run out. A caller who is cancelled meanwhile
        waits for the attempt under way. What could not be written then, or is not known to have
        been, comes first the next time.
        """
        self._pending.append(_Batch(tuple(events), last, secrets.token_hex(8)))
        self._hurried.clear()
        writing = asyncio.create_task(self._write(time.monotonic() + self._patience))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            self._hurried.set()
            # Its own outcome no longer matters: whoever cancels does not go on with the search.
            await asyncio.gather(writing, return_exceptions=True)
            raise

    async def _write(self, deadline: float) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while self._pending:
            batch = self._pending[0]
            try:
                await self._store.append(
                    self.lease, batch.events, last=batch.last, batch=batch.name
                )
                del self._pending[0]
                continue
            except DependencyError as error:
                if self._hurried.is_set() or time.monotonic() + pause > deadline:
                    raise
                log.warning(
                    "log not written yet", search_id=self.lease.search_id, detail=error.detail
                )
            # Jitter keeps searches that waited for Redis together from coming back together.
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
            try:
                await asyncio.wait_for(self._hurried.wait(), wait)
            except TimeoutError:
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
