"""The report of an evolution: a page with its plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from trainer.reports import plots
from trainer.reports.page import FILE, render
from trainer.rounds.results import Measured, RoundResult

ACCURACY: Final = "accuracy.png"
COVERAGE: Final = "coverage.png"
ROWS: Final = "rows.png"
PPM: Final = "ppm.png"
RELIABILITY: Final = "reliability.png"
PAIR_ACCURACY: Final = "pair_accuracy"


def write(name: str, results: Sequence[RoundResult], folder: Path) -> Path:
    """Write the report into a folder; the page.

    Raises:
        ValueError: there is no round to report.
    """
    if not results:
        raise ValueError("no round is done yet")
    folder.mkdir(parents=True, exist_ok=True)
    _plot(results, folder)
    render(
        "evolution.html",
        folder / FILE,
        title=f"Evolution {name}",
        rounds=results,
        levels=sorted({level for one in results for level in one.harvest.coverage}),
        rules=sorted({rule for one in results for rule in one.evaluation.search.rules}),
        plots={"accuracy": ACCURACY, "coverage": COVERAGE, "rows": ROWS, "ppm": PPM},
        reliability=RELIABILITY if any(one.ppm.reliability for one in results) else None,
        tokens=sum(one.tokens for one in results),
        hours=sum(one.seconds for one in results) / 3600,
    )
    return folder / FILE


def _plot(results: Sequence[RoundResult], folder: Path) -> None:
    # The base stands before the first round: a policy that no search has taught.
    base = plots.Point(0, results[0].base_accuracy, *results[0].base_ci95)
    curves = {
        "policy alone, greedy": [
            base,
            *(_point(one.round, one.evaluation.policy) for one in results),
        ],
        "search, unguided": [_point(one.round, one.evaluation.unguided) for one in results],
        "search with the PPM": [_point(one.round, one.evaluation.search) for one in results],
    }
    plots.curves(folder / ACCURACY, curves, x="round", y="accuracy, 95 % interval")
    plots.curves(folder / COVERAGE, _coverage(results), x="round", y="problems with a right answer")
    plots.curves(folder / ROWS, _rows(results), x="round", y="rows")
    ppm = {
        name: [
            plots.Point(one.round, value, value, value)
            for one in results
            if (value := one.ppm.metrics.get(key)) is not None
        ]
        for name, key in (
            ("pairs in the right order", PAIR_ACCURACY),
            ("of whole solutions", f"solution_{PAIR_ACCURACY}"),
            ("of next steps", f"step_{PAIR_ACCURACY}"),
        )
    }
    plots.curves(folder / PPM, ppm, x="round", y="share of held-out pairs")
    series = {f"round {one.round}": one.ppm.reliability for one in results if one.ppm.reliability}
    if series:
        plots.reliability(folder / RELIABILITY, series)


def _point(number: int, one: Measured) -> plots.Point:
    return plots.Point(number, one.accuracy, one.ci95[0], one.ci95[1])


def _coverage(results: Sequence[RoundResult]) -> Mapping[str, list[plots.Point]]:
    levels = sorted({level for one in results for level in one.harvest.coverage})
    return {
        f"level {level}" if level else "all": [
            plots.Point(one.round, share, share, share)
            for one in results
            if (found := one.harvest.coverage.get(level)) and found.problems
            for share in [found.solved / found.problems]
        ]
        for level in levels
    }


def _rows(results: Sequence[RoundResult]) -> Mapping[str, list[plots.Point]]:
    counts = {
        "solutions": [(one.round, one.selection.solutions) for one in results],
        "pairs": [(one.round, sum(one.selection.pairs.values())) for one in results],
    }
    return {
        name: [plots.Point(x, float(y), float(y), float(y)) for x, y in points]
        for name, points in counts.items()
    }
