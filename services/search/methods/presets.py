"""The methods by name, and what each fixes or presets among the options of a search."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Method(StrEnum):
    """How a budget is spent."""

    MCTS = "mcts"
    """Tree search by UCT, as in rStar-Math."""
    BEAM = "beam"
    """Level by level, the best `beam_width` steps of each level are kept."""
    BEST_OF_N = "best_of_n"
    """Independent solutions, as many as the budget has rollouts; the PPM chooses."""
    MAJORITY = "majority"
    """Independent solutions, as many as the budget has rollouts; they vote."""
    GREEDY = "greedy"
    """One solution at temperature 0."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What a method makes of the options.

    Attributes:
        fixed: options that it sets; asking for another value is an error.
        defaults: options that it sets where the caller does not.
        samples: most solutions; None for what the budget allows.
    """

    fixed: Mapping[str, object] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    samples: int | None = None


PRESETS: Mapping[Method, Preset] = {
    Method.MCTS: Preset(),
    Method.BEAM: Preset({"expansion": "step"}, {"answer": "best"}),
    Method.BEST_OF_N: Preset({"expansion": "trajectory"}, {"answer": "best"}),
    Method.MAJORITY: Preset({"expansion": "trajectory"}, {"answer": "majority"}),
    Method.GREEDY: Preset(
        {"expansion": "trajectory", "candidates": 1, "temperature": 0.0, "trees": 1}, samples=1
    ),
}
