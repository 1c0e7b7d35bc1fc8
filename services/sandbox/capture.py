"""Captured output of one step. Standard library only."""

import io
from collections.abc import Callable
from typing import Final

# A step that writes this many times its limit is not verbose but running away.
FLOOD_FACTOR: Final = 64


class Capture(io.TextIOBase):
    """A text stream that keeps the first `limit` bytes and counts the rest.

    Args:
        limit: bytes of UTF-8 that are kept.
        on_flood: called when FLOOD_FACTOR times that has been written; it does not return.
    """

    def __init__(self, limit: int, on_flood: Callable[[], None]) -> None:
        super().__init__()
        self._limit = limit
        self._on_flood = on_flood
        self._parts: list[bytes] = []
        self._kept = 0
        self._written = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in typeshed
        """As of a terminal."""
        return "utf-8"

    @property
    def truncated(self) -> bool:
        """Whether anything was dropped."""
        return self._written > self._kept

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str, /) -> int:
        """Keep what fits; returns the number of characters, as every text stream."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        data = text.encode(errors="replace")
        self._written += len(data)
        room = self._limit - self._kept
        if room > 0:
            part = data[:room]
            self._parts.append(part)
            self._kept += len(part)
        if self._written > self._limit * FLOOD_FACTOR:
            self._on_flood()
        return len(text)

    def text(self) -> str:
        """What was kept; a character cut in half is dropped."""
        return b"".join(self._parts).decode(errors="ignore")
