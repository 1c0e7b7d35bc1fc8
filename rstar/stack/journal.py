"""One log of many processes: whole lines, each with its origin before it."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TextIO

COLOURS = ("36", "32", "33", "35", "34", "31")
OWN_NAME = "rstar"


class Journal:
    """Writes lines to a stream: as text with a prefix, coloured for a terminal; or as JSON."""

    def __init__(
        self,
        names: list[str],
        stream: TextIO | None = None,
        form: Literal["console", "json"] = "console",
        announce: Callable[[str], None] | None = None,
    ) -> None:
        """Make a journal.

        Args:
            names: of the processes, in the order of their colours.
            stream: where to; standard output by default.
            form: text for people or JSON for machines.
            announce: called with the supervisor's own lines too.
        """
        self._stream = stream or sys.stdout
        self._announce = announce
        self._json = form == "json"
        self._width = max(len(name) for name in [OWN_NAME, *names])
        coloured = self._stream.isatty()
        self._colours = {
            name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names) if coloured
        }

    def line(self, name: str, text: str) -> None:
        """One line that a process printed."""
        if self._json:
            self._write(text if _is_object(text) else _as_json(name, text))
            return
        prefix = f"{name:<{self._width}} |"
        colour = self._colours.get(name)
        self._write(f"\x1b[{colour}m{prefix}\x1b[0m {text}" if colour else f"{prefix} {text}")

    def say(self, text: str, *, about: str = "") -> None:
        """One line of the supervisor's own."""
        if self._announce:
            self._announce(f"{about:<{self._width}} {text}" if about else text)
        if self._json:
            self._write(_as_json(OWN_NAME, f"{about}: {text}" if about else text))
            return
        self.line(OWN_NAME, f"{about:<{self._width}} {text}" if about else text)

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _as_json(service: str, event: str) -> str:
    stamp = datetime.now(UTC).isoformat()
    return json.dumps({"service": service, "event": event, "level": "info", "timestamp": stamp})
