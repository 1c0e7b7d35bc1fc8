"""What exchanges of a model cost: how long new work waits, and what is held after each."""

import contextlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def anonymous_mb(pids: list[int]) -> float:
    """What processes hold for themselves; files that the system may drop are not counted."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    return total * 1024 / 1e6


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return found


def memory_figures(series: Sequence[float]) -> dict[str, Any]:
    """What was held after each exchange, in MB, told shortly."""
    return {
        "first": round(series[0]),
        "last": round(series[-1]),
        "peak": round(max(series)),
        "growth_per_swap": round(growth(series), 2),
        "every_fifth": [round(one) for one in series[::5]],
    }


def growth(series: Sequence[float]) -> float:
    """Slope of the least-squares line through the second half of a series, once caches are full."""
    half = series[len(series) // 2 :]
    if len(half) < 2:
        return 0.0
    return statistics.linear_regression(range(len(half)), half).slope


def pause_figures(values: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile of pauses."""
    ordered = sorted(values)
    last = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {"p50": round(statistics.median(ordered), 1), "p99": round(last, 1)}
