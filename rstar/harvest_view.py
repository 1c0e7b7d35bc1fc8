"""How a harvest looks on a terminal: progress, and what came of it."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trainer.harvest.queue import Tally
from trainer.harvest.summary import HarvestSummary

PLAIN_SECONDS = 15.0


class View:
    """Shows a bar on a terminal, and elsewhere a line now and then; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # The rate over the last minutes, since the first searches of a harvest are the slowest.
        self._bar = Progress(
            TextColumn("harvest"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            speed_estimate_period=300,
        )
        self._task = self._bar.add_task("", state="", visible=False)
        self._begun, self._before, self._printed = 0.0, 0, 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, tally: Tally) -> None:
        """A harvest begins, with what an earlier run left."""
        self._begun = self._printed = time.monotonic()
        self._before = tally.done
        self._bar.reset(self._task, total=tally.total, completed=tally.done, visible=True)
        if tally.done:
            text = f"{tally.done} of {tally.total} searches are done already"
            self._console.print(text, style="dim")

    def report(self, tally: Tally) -> None:
        """How far it is."""
        rate = (tally.done - self._before) / max(time.monotonic() - self._begun, 0.001)
        state = f"{tally.solved} solved, {rate:.2g} searches/s"
        if tally.failed:
            state += f", {tally.failed} failed"
        self._bar.update(self._task, completed=tally.done, state=state)
        due = time.monotonic() - self._printed >= PLAIN_SECONDS
        if self._console.is_terminal or not (due or tally.done == tally.total):
            return
        self._printed = time.monotonic()
        left = f", {(tally.total - tally.done) / rate:.0f} s left" if rate else ""
        self._console.print(f"{tally.done}/{tally.total} searches: {state}{left}", soft_wrap=True)


def summary_table(summary: HarvestSummary) -> Table:
    """One row a level, and one for all."""
    table = Table(box=None, pad_edge=False)
    table.add_column("level")
    for name in ("problems", "solved", "unsolved", "solved %"):
        table.add_column(name, justify="right")
    levels = [(level or "-", one.problems, one.solved) for level, one in summary.levels.items()]
    for level, problems, solved in [*levels, ("all", summary.problems, summary.solved)]:
        share = f"{100 * solved / problems:.1f}" if problems else "-"
        table.add_row(level, str(problems), str(solved), str(problems - solved), share)
    return table
