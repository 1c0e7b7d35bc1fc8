"""How an evolution looks on a terminal."""

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.table import Table

from rstar import eval_view, harvest_view
from trainer.rounds.evolve import EVALUATE, HARVEST
from trainer.rounds.results import Measured, RoundResult


class View:
    """Says which stage is under way, with a bar below; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = contextlib.ExitStack()
        self.searches = harvest_view.View(console)
        self.runs = eval_view.View(console)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.close()

    def stage(self, number: int, name: str) -> None:
        """A stage of a round begins."""
        self._bars.close()
        self._console.print(f"round {number}: {name}", style="bold")
        # A terminal has room for one bar at a time.
        if name == HARVEST:
            self.searches = self._bars.enter_context(harvest_view.View(self._console))
        elif name == EVALUATE:
            self.runs = self._bars.enter_context(eval_view.View(self._console))


def table(results: Sequence[RoundResult]) -> Table:
    """The rounds that are done."""
    made = Table("round", "policy alone", "search, unguided", "search with PPM", "coverage", "s")
    if results:
        low, high = results[0].base_ci95
        base = f"{results[0].base_accuracy:.1%} ({low:.1%} to {high:.1%})"
        made.add_row("the base", base, "", "", "", "")
    for one in results:
        found = one.harvest.coverage[""]
        made.add_row(
            str(one.round),
            _share(one.evaluation.policy),
            _share(one.evaluation.unguided),
            _share(one.evaluation.search),
            f"{found.solved} of {found.problems}",
            f"{one.seconds:.0f}",
        )
    return made


def _share(one: Measured) -> str:
    low, high = one.ci95
    return f"{one.accuracy:.1%} ({low:.1%} to {high:.1%}), {one.tokens_per_problem:.0f} tokens"
