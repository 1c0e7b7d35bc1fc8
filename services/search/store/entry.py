"""An event at its place in a search's log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.search.store.events import Event, Failed, Finished, LogError, decode

# What of 64 bits, of which Redis makes its ids, has as many digits as fit.
ID_PATTERN = "[0-9]{1,19}(-0)?"


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its id, `1-0` for the first of a log, `2-0` for the second, without gaps."""

    id: str
    event: Event

    @property
    def number(self) -> int:
        """Its place in the log, from 1."""
        return position(self.id)

    @property
    def is_last(self) -> bool:
        """Whether the search ends here."""
        return isinstance(self.event, Finished | Failed)


def position(entry_id: str) -> int:
    """The place that an id names; 0 is before the first. ValueError for what is no id."""
    if re.fullmatch(ID_PATTERN, entry_id) is None:
        raise ValueError(f"{entry_id[:40]!r} is no event id; they look like 12-0")
    return int(entry_id.partition("-")[0])


def entry_id(number: int) -> str:
    """The id of a place in the log."""
    return f"{number}-0"


def parse(raw: tuple[bytes, Mapping[Any, Any] | None]) -> Entry:
    """The entry of what Redis returns for one; LogError where it cannot be read."""
    identity, fields = raw
    try:
        position(identity.decode(errors="replace"))
    except ValueError as error:
        raise LogError(str(error)) from error
    kind = (fields or {}).get(b"kind", b"").decode(errors="replace")
    return Entry(identity.decode(), decode(kind, (fields or {}).get(b"body", b"")))
