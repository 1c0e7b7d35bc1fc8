"""Plots as PNG files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (7.0, 4.2)
_DPI = 144


@dataclass(frozen=True, slots=True)
class Point:
    """A measured value with its interval.

    Attributes:
        x, y: where it stands.
        low, high: bounds of y.
        label: written beside it.
    """

    x: float
    y: float
    low: float
    high: float
    label: str = ""


def curves(
    path: Path, series: Mapping[str, Sequence[Point]], *, x: str, y: str, log: bool = False
) -> None:
    """Write a plot of named series, their points joined in the order of x, with error bars."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure()
    for name, points in series.items():
        ordered = sorted(points, key=lambda point: point.x)
        ys = [point.y for point in ordered]
        errors = [
            [max(point.y - point.low, 0.0) for point in ordered],
            [max(point.high - point.y, 0.0) for point in ordered],
        ]
        xs = [point.x for point in ordered]
        axes.errorbar(xs, ys, yerr=errors, marker="o", capsize=3, linewidth=1.2, label=name)
        for point in ordered:
            axes.annotate(
                point.label,
                (point.x, point.y),
                textcoords="offset points",
                xytext=(6, 5),
                fontsize=8,
            )
    if log:
        axes.set_xscale("log")
    elif all(point.x == round(point.x) for points in series.values() for point in points):
        # Rounds and the like: there is nothing between them.
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    if len(series) > 1:
        axes.legend(fontsize=8)
    _save(figure, path)


def reliability(path: Path, series: Mapping[str, Sequence[tuple[float, float, int]]]) -> None:
    """Write a reliability diagram.

    Args:
        path: the file.
        series: by name, (predicted probability, share that is right, solutions) of each bin.
    """
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], linestyle="--", linewidth=1, color="grey", label="calibrated")
    for name, bins in series.items():
        largest = max((n for _, _, n in bins), default=1)
        axes.plot([p for p, _, _ in bins], [r for _, r, _ in bins], linewidth=1, label=name)
        axes.scatter(
            [p for p, _, _ in bins],
            [r for _, r, _ in bins],
            s=[20 + 180 * n / largest for _, _, n in bins],
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("(1 + PPM score) / 2")
    axes.set_ylabel("share of solutions that are right")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)


def _figure() -> "tuple[object, Axes]":
    # The object-oriented interface: pyplot would keep every figure and look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: object, path: Path) -> None:
    figure.savefig(path)  # type: ignore[attr-defined]  # matplotlib's Figure
