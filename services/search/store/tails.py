"""The ends of logs that somebody follows: any number of followers, no connection of their own."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Sequence

from services.search.store.entry import Entry

_RECENT = 64


class Tail:
    """The newest entries of one log, shared by its followers.

    Attributes:
        last: number of the newest entry that is known; None before anything is.
        error: what ended the following; None while it goes on.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self.error: Exception | None = None
        self.followers = 0
        self._recent: deque[Entry] = deque(maxlen=_RECENT)
        self._changed = asyncio.Event()

    def reach(self, number: int) -> None:
        """The log is at least this long."""
        if self.last is None or number > self.last:
            self._recent.clear()
            self.last = number
            self._wake()

    def add(self, entries: Sequence[Entry]) -> None:
        """Entries that were read or written, in order; those that are known are ignored."""
        fresh = [e for e in entries if self.last is None or e.number > self.last]
        if not fresh:
            return
        if self.last is not None and fresh[0].number != self.last + 1:
            self._recent.clear()
        self._recent.extend(fresh)
        self.last = fresh[-1].number
        self._wake()

    def fail(self, error: Exception) -> None:
        """End all following of this log."""
        self.error = error
        self._wake()

    def since(self, number: int) -> list[Entry] | None:
        """The entries after a place; None where they must be read from the log."""
        if self.last is None:
            return None
        if number >= self.last:
            return []
        if self._recent and self._recent[0].number <= number + 1:
            return [entry for entry in self._recent if entry.number > number]
        return None

    async def changed(self) -> None:
        """Return at the next change."""
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Tails:
    """The tails that are followed, by search."""

    def __init__(self) -> None:
        self._tails: dict[str, Tail] = {}

    @contextlib.contextmanager
    def followed(self, search_id: str) -> Iterator[Tail]:
        """The tail of a search, kept up to date for as long as anybody follows it."""
        tail = self._tails.setdefault(search_id, Tail())
        tail.followers += 1
        try:
            yield tail
        finally:
            tail.followers -= 1
            if not tail.followers and self._tails.get(search_id) is tail:
                del self._tails[search_id]

    def get(self, search_id: str) -> Tail | None:
        """The tail of a search that is followed."""
        return self._tails.get(search_id)

    def ids(self) -> list[str]:
        """The searches that are followed."""
        return list(self._tails)
