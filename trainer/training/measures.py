"""How good a PPM is on held-out groups: pairs in order, and scores that can be believed. Pure."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from trainer.training.data import PairGroup

_BINS = 10

Scored = Sequence[tuple[PairGroup, Sequence[float]]]
"""Groups, each with the logits of its members."""


def measure(scored: Scored, scale: float) -> dict[str, Any]:
    """All measures; those that nothing in the data bears on are missing."""
    return {**pair_accuracy(scored), **calibration(scored, scale)}


def pair_accuracy(scored: Scored) -> dict[str, Any]:
    """Share of the pairs whose preferred member has the higher logit; a tie counts half.

    Overall, by kind, and for next steps by which step of the solution it is.
    """
    found: dict[str, list[float]] = defaultdict(list)
    steps: dict[int, list[float]] = defaultdict(list)
    for group, logits in scored:
        for better, worse in group.pairs:
            gap = logits[better] - logits[worse]
            verdict = 0.5 if gap == 0 else float(gap > 0)
            found["pair_accuracy"].append(verdict)
            found[f"{group.kind}_pair_accuracy"].append(verdict)
            if group.step_index:
                steps[group.step_index].append(verdict)
    measures: dict[str, Any] = {name: _mean(values) for name, values in found.items()}
    measures["pairs"] = len(found["pair_accuracy"])
    measures["pair_accuracy_by_step"] = {
        str(index): {"pairs": len(steps[index]), "accuracy": _mean(steps[index])}
        for index in sorted(steps)
    }
    return measures


def calibration(scored: Scored, scale: float) -> dict[str, Any]:
    """Whether (1 + score) / 2 of whole solutions is how often they are right.

    Returns:
        `brier`, the mean squared error; `calibration_error`, the mean distance between the two over
        ten bins of equal width, weighted by solutions; `calibration`, the bins. Half of the
        solutions here are right by selection, so what is measured is the order more than the rate.
    """
    cases = [
        ((1 + math.tanh(logit / scale)) / 2, bool(member.correct))
        for group, logits in scored
        for member, logit in zip(group.members, logits, strict=True)
        if member.correct is not None
    ]
    if not cases:
        return {}
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for probability, right in cases:
        bins[min(int(probability * _BINS), _BINS - 1)].append((probability, right))
    rows = [
        {
            "from": place / _BINS,
            "solutions": len(bins[place]),
            "expected": _mean([probability for probability, _ in bins[place]]),
            "right": _mean([float(right) for _, right in bins[place]]),
        }
        for place in sorted(bins)
    ]
    gaps = [row["solutions"] * abs(row["expected"] - row["right"]) for row in rows]
    return {
        "brier": _mean([(probability - right) ** 2 for probability, right in cases]),
        "calibration_error": sum(gaps) / len(cases),
        "calibration": rows,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
