"""Which interpreter states are kept: a cache by memory, least recently used out first. Pure."""

import collections
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Killable(Protocol):
    """What a snapshot holds."""

    @property
    def ended(self) -> bool:
        """Whether it is gone already."""


State = TypeVar("State", bound=Killable)


@dataclass(frozen=True, slots=True)
class Budget:
    """What snapshots may hold in all.

    Attributes:
        service_bytes: memory of all of them.
        session_bytes: memory of those of one session.
        count: of all of them; each is a process.
    """

    service_bytes: int
    session_bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[State]):
    """One interpreter state.

    Attributes:
        key: names the session and all steps that made the state.
        session: its session.
        state: the stopped process.
        size: memory that is its own, in bytes.
    """

    key: bytes
    session: str
    state: State
    size: int


class SnapshotCache(Generic[State]):
    """Snapshots by key, within a budget.

    Attributes:
        evictions: snapshots given up so far for lack of room.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._snapshots: collections.OrderedDict[bytes, Snapshot[State]] = collections.OrderedDict()
        self._session_bytes: collections.Counter[str] = collections.Counter()
        self._bytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._snapshots)

    @property
    def size(self) -> int:
        """Memory of all snapshots, in bytes."""
        return self._bytes

    def get(self, key: bytes) -> State | None:
        """The living state of that key; counts as a use."""
        snapshot = self._snapshots.get(key)
        if snapshot is None:
            return None
        if snapshot.state.ended:
            self.remove(key)
            return None
        self._snapshots.move_to_end(key)
        return snapshot.state

    def put(self, snapshot: Snapshot[State]) -> list[State]:
        """Keep a snapshot; returns the states that no longer are kept, to be ended.

        The one that was put may be among them, if it alone is over the budget.
        """
        replaced = self.remove(snapshot.key)
        self._snapshots[snapshot.key] = snapshot
        self._session_bytes[snapshot.session] += snapshot.size
        self._bytes += snapshot.size
        evicted = [self._take(key) for key in self._over_budget(snapshot.session)]
        self.evictions += len(evicted)
        return [replaced, *evicted] if replaced is not None else evicted

    def _over_budget(self, session: str) -> Iterator[bytes]:
        """Keys to give up, one at a time; each must be removed before the next is asked for."""
        while self._session_bytes[session] > self._budget.session_bytes:
            yield next(key for key, held in self._snapshots.items() if held.session == session)
        while self._bytes > self._budget.service_bytes or len(self) > self._budget.count:
            yield next(iter(self._snapshots))

    def remove(self, key: bytes) -> State | None:
        """Take a snapshot out, if it is there."""
        return self._take(key) if key in self._snapshots else None

    def _take(self, key: bytes) -> State:
        snapshot = self._snapshots.pop(key)
        self._bytes -= snapshot.size
        self._session_bytes[snapshot.session] -= snapshot.size
        if not self._session_bytes[snapshot.session]:
            del self._session_bytes[snapshot.session]
        return snapshot.state

    def remove_ended(self) -> None:
        """Take out all snapshots whose state is gone already."""
        for key in [key for key, held in self._snapshots.items() if held.state.ended]:
            self._take(key)

    def remove_session(self, session: str) -> list[State]:
        """Take out all snapshots of a session."""
        keys = [key for key, held in self._snapshots.items() if held.session == session]
        return [self._take(key) for key in keys]
