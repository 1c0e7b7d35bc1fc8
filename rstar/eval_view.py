"""How an evaluation looks on a terminal: progress, and tables of runs."""

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trainer.evaluation.records import Record
from trainer.evaluation.rules import MEANINGS
from trainer.evaluation.suites import Suite
from trainer.evaluation.summary import Comparison, Summary

PLAIN_SECONDS = 15.0


class View:
    """Shows a bar on a terminal, and elsewhere a line now and then; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", state="", visible=False)
        self._wanted = 0
        self._method = ""
        self._records: dict[str, Record] = {}
        self._printed = 0.0

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

    def begin(self, method: str, wanted: int, known: Sequence[Record]) -> None:
        """A run begins, with what an earlier one left."""
        self._method, self._wanted = method, wanted
        self._records = {record.id: record for record in known}
        self._printed = time.monotonic()
        self._bar.reset(
            self._task,
            total=wanted,
            completed=len(known),
            description=method,
            state=self._state(),
            visible=True,
        )
        if known:
            self._console.print(f"{method}: {len(known)} of {wanted} are done already", style="dim")

    def report(self, record: Record) -> None:
        """A problem is done."""
        self._records[record.id] = record
        self._bar.update(self._task, completed=len(self._records), state=self._state())
        if record.failure:
            text = f"problem {record.id}: {record.failure.code}: {record.failure.details}"
            self._console.print(text, style="yellow", markup=False, soft_wrap=True)
        is_last = len(self._records) == self._wanted
        if not self._console.is_terminal and (
            is_last or time.monotonic() - self._printed >= PLAIN_SECONDS
        ):
            self._print_line()

    def _print_line(self) -> None:
        self._printed = time.monotonic()
        self._console.print(
            f"{self._method}: {len(self._records)}/{self._wanted} {self._state()}", soft_wrap=True
        )

    def _state(self) -> str:
        done = len(self._records)
        if not done:
            return ""
        right = sum(record.correct for record in self._records.values())
        tokens = sum(record.usage.policy_tokens for record in self._records.values())
        return f"{right} right, {tokens / done:.0f} tokens a problem"


def runs_table(summaries: Sequence[Summary]) -> Table:
    """One row a run."""
    table = Table(box=None, pad_edge=False)
    table.add_column("suite")
    table.add_column("method")
    for name in ("n", "right %", "95 % interval", "oracle %", "tokens", "seconds", "failed"):
        table.add_column(name, justify="right")
    for one in summaries:
        low, high = one.ci95
        table.add_row(
            one.suite,
            one.method,
            str(one.n),
            f"{100 * one.accuracy:.1f}",
            f"{100 * low:.1f} - {100 * high:.1f}",
            f"{100 * one.oracle:.1f}",
            f"{one.policy_tokens_per_problem:.0f}",
            f"{one.seconds_per_problem:.1f}",
            str(one.failures),
        )
    return table


def rules_table(summaries: Sequence[Summary]) -> Table:
    """One row a run, one column an answer rule that any of them knows."""
    rules = [rule for rule in MEANINGS if any(rule in one.rules for one in summaries)]
    table = Table(box=None, pad_edge=False)
    table.add_column("suite")
    table.add_column("method")
    for rule in rules:
        table.add_column(rule, justify="right")
    for one in summaries:
        shares = [one.rules[rule].accuracy if rule in one.rules else None for rule in rules]
        cells = [f"{100 * share:.1f}" if share is not None else "" for share in shares]
        table.add_row(one.suite, one.method, *cells)
    return table


def suites_table(suites: Iterable[Suite]) -> Table:
    """One row a benchmark."""
    table = Table(box=None, pad_edge=False)
    table.add_column("suite")
    table.add_column("problems", justify="right")
    table.add_column("licence")
    table.add_column("huggingface.co/datasets/", overflow="fold")
    for one in suites:
        table.add_row(one.name, str(one.problems), one.licence, one.dataset)
    return table


def comparison_text(result: Comparison, first: str, second: str) -> str:
    """Two runs against each other, for people."""
    lines = [
        f"{result.n} problems; both right on {result.both}",
        f"  {first}: {result.first_accuracy:.1%}, alone right on {len(result.only_first)}",
        f"  {second}: {result.second_accuracy:.1%}, alone right on {len(result.only_second)}",
        f"difference {result.difference:+.1%}, McNemar's exact test p = {result.p_value:.2g}",
    ]
    if result.alike:
        lines.append(f"{result.alike} of them alike in every answer and in tokens")
    if result.left_out:
        lines.append(f"{result.left_out} problems that only one of them has are left out")
    for name, ids in ((first, result.only_first), (second, result.only_second)):
        if ids:
            lines.append(f"only {name}: {' '.join(ids)}")
    return "\n".join(lines)
