"""The live line of a running search."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from rstar.client import Progress
from rstar.show import progress_line

PLAIN_SECONDS = 10.0


class ProgressLine:
    """Redraws one line on a terminal; elsewhere prints one now and then. A context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("searching", console=console) if console.is_terminal else None
        self._printed = time.monotonic()

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()

    def update(self, progress: Progress) -> None:
        """Show how far the search is."""
        line = progress_line(progress)
        if self._status:
            self._status.update(escape(line))
        elif time.monotonic() - self._printed >= PLAIN_SECONDS:
            self._printed = time.monotonic()
            self._console.print(line, markup=False, soft_wrap=True)
