"""The log of one search, as its driver writes it."""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence

from services.common import logs
from services.search.clients.dependencies import DependencyError
from services.search.store.events import Event
from services.search.store.lease import Lease
from services.search.store.searches import SearchStore

log = logs.get(__name__)

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class Journal:
    """Writes under a lease; outlives a Redis that is away, restarted or full for a while."""

    def __init__(self, store: SearchStore, lease: Lease, *, patience_seconds: float) -> None:
        self._store = store
        self._patience = patience_seconds
        self._hurried = asyncio.Event()
        self.lease = lease

    async def append(
        self, events: Sequence[Event], *, last: bool = False, patience_seconds: float | None = None
    ) -> None:
        """Write events, again and again for as long as patience lasts, but never twice.

        LeaseLost; DependencyError when patience has run out. A caller who is cancelled meanwhile
        waits for the attempt under way, so that what is in the log is known.
        """
        patience = self._patience if patience_seconds is None else patience_seconds
        self._hurried.clear()
        writing = asyncio.create_task(self._write(events, last, time.monotonic() + patience))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            self._hurried.set()
            # Its own outcome no longer matters: whoever cancels does not go on with the search.
            await asyncio.gather(writing, return_exceptions=True)
            raise

    async def _write(self, events: Sequence[Event], last: bool, deadline: float) -> None:
        batch = secrets.token_hex(8)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._store.append(self.lease, events, last=last, batch=batch)
                return
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
