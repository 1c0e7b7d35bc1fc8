"""What a log's entries brought, worked out once for all who follow a search."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from services.search.log_view import LogView
from services.search.manager import Manager
from services.search.store.entry import Entry, entry_id
from services.search.views import StartedEvent, TrialEvent

Brought = StartedEvent | TrialEvent | None
"""What an entry brought; None for the last one of a log."""

# So many entries are kept for followers who are behind the first.
_KEPT = 256


class Narration:
    """Folds a log from its beginning and keeps what its newest entries brought.

    Attributes:
        reached: number of the last entry that was folded in.
        broken: whether an entry could not be folded in, so that none after it can.
    """

    def __init__(self, search_id: str) -> None:
        self.reached = 0
        self.broken = False
        self._view = LogView(search_id)
        self._kept: deque[Brought] = deque(maxlen=_KEPT)

    def follows(self, number: int) -> bool:
        """Whether it can tell of all entries after a place, as they come."""
        return not self.broken and number >= self.reached - len(self._kept)

    def tell(self, entry: Entry) -> Brought:
        """What an entry brought: the next one, or one that is kept. LogError."""
        if entry.number <= self.reached:
            return self._kept[entry.number - self.reached - 1]
        with self._advancing(entry):
            brought = self._view.fold(entry)
        self._kept.append(brought)
        return brought

    def skip(self, entry: Entry) -> None:
        """Take an entry of which nobody wants to hear. LogError."""
        if entry.number > self.reached:
            with self._advancing(entry):
                self._view.skip(entry)
            self._kept.clear()

    @contextlib.contextmanager
    def _advancing(self, entry: Entry) -> Iterator[None]:
        if entry.number != self.reached + 1:
            raise ValueError(f"entry {entry.number} does not come after {self.reached}")
        # Half of an entry may be in the tree when it turns out to be wrong.
        self.broken = True
        yield
        self.broken = False
        self.reached = entry.number


class Narrations:
    """The narrations that are followed: one a search, whoever and how many follow it."""

    def __init__(self) -> None:
        self._followed: dict[str, tuple[Narration, list[object]]] = {}

    async def follow(
        self, manager: Manager, search_id: str, after: int
    ) -> AsyncGenerator[tuple[Entry, Brought], None]:
        """The entries after a place in the log, as Manager.watch gives them, and what each brought.

        A log is folded once for all who keep up with it; one who begins far behind, or falls there,
        folds it alone until the others are reached. Raises what Manager.watch does.
        """
        last = await manager.store.last(search_id)
        # A Redis that came back without its last second may have fewer than were seen.
        length = last.number if last else 0
        after = min(after, length)
        with self._shared(search_id, length) as shared:
            told = shared if shared.follows(after) else Narration(search_id)
            start = entry_id(min(after, told.reached))
            async with contextlib.aclosing(manager.watch(search_id, start)) as entries:
                async for entry in entries:
                    # A long log is folded in one go otherwise, and nothing else runs meanwhile.
                    await asyncio.sleep(0)
                    number = entry.number - 1
                    if not told.follows(number) or told is not shared:
                        told = await _best_at(manager, search_id, number, told, shared)
                    if entry.number <= after:
                        told.skip(entry)
                    else:
                        yield entry, told.tell(entry)

    @contextlib.contextmanager
    def _shared(self, search_id: str, length: int) -> Iterator[Narration]:
        known = self._followed.get(search_id)
        if known is None or known[0].broken or known[0].reached > length:
            known = self._followed[search_id] = Narration(search_id), []
        narration, followers = known
        follower = object()
        followers.append(follower)
        try:
            yield narration
        finally:
            followers.remove(follower)
            if not followers and self._followed.get(search_id) is known:
                del self._followed[search_id]


async def _best_at(
    manager: Manager, search_id: str, number: int, told: Narration, shared: Narration
) -> Narration:
    """A narration that tells of what comes after a place: the shared one if it can."""
    if shared.reached >= number and shared.follows(number):
        return shared
    if told.follows(number):
        return told
    alone = Narration(search_id)
    for entry in await manager.store.entries(search_id):
        if entry.number > number:
            break
        alone.skip(entry)
        await asyncio.sleep(0)
    return alone
