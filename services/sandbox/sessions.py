"""The open sessions: a bounded table from which idle ones fall. Pure but for the given clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class TooManySessions(RuntimeError):  # noqa: N818
    """The table is full."""


@dataclass(slots=True)
class Session:
    """One search's room in the sandbox.

    Attributes:
        name: the session's id.
        used_at: when it was last used, by the table's clock.
        runs: the calls in progress; cancelled when the session is closed.
        closed: whether it was closed.
    """

    name: str
    used_at: float
    runs: "set[asyncio.Task[Any]]" = field(default_factory=set)
    closed: bool = False


class SessionTable:
    """Sessions by name.

    Args:
        capacity: sessions open at once.
        idle_seconds: a session unused for so long may be expired.
        clock: monotonic seconds.
    """

    def __init__(self, capacity: int, idle_seconds: float, clock: Callable[[], float]) -> None:
        self._capacity = capacity
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, name: str) -> Session:
        """The session of that name, made where there is none. TooManySessions where it is full."""
        session = self.get(name)
        if session is None:
            if len(self._sessions) >= self._capacity:
                raise TooManySessions(f"{self._capacity} sessions are open already")
            session = self._sessions[name] = Session(name, self._clock())
        return session

    def get(self, name: str) -> Session | None:
        """The session of that name, if open; counts as a use."""
        session = self._sessions.get(name)
        if session is not None:
            session.used_at = self._clock()
        return session

    def remove(self, name: str) -> Session | None:
        """Take a session out of the table; its owner releases what it holds."""
        session = self._sessions.pop(name, None)
        if session is not None:
            session.closed = True
        return session

    def remove_idle(self) -> list[Session]:
        """Take out the sessions that nothing has used for too long and in which nothing runs."""
        limit = self._clock() - self._idle_seconds
        idle = [
            name
            for name, session in self._sessions.items()
            if session.used_at < limit and not session.runs
        ]
        return [session for name in idle if (session := self.remove(name)) is not None]
