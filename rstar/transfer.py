"""Shows a download: a bar on a terminal, a line every tenth elsewhere."""

import sys
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class TransferReporter:
    """A `Reporter` for people, on standard error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`, by default standard error."""
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._bar = _bar(self._console) if self._console.is_terminal else None
        self._task: TaskID | None = None
        self._tenth = -1

    def __enter__(self) -> Self:
        """Report until the block ends."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def say(self, message: str) -> None:
        """Print a line; a bar that was there is done with."""
        self._stop()
        self._console.print(message, markup=False)

    def progress(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are here."""
        if self._bar is not None:
            if self._task is None:
                self._bar.start()
                self._task = self._bar.add_task("", total=total)
            self._bar.update(self._task, completed=done, total=total)
        elif (tenth := 10 * done // total) > self._tenth:
            self._tenth = tenth
            self._console.print(
                f"  {10 * tenth} % ({done / 1e6:.0f} of {total / 1e6:.0f} MB)", markup=False
            )

    def _stop(self) -> None:
        self._tenth = -1
        if self._bar is not None and self._task is not None:
            self._bar.stop()
            self._bar.remove_task(self._task)
            self._task = None


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("  "),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
