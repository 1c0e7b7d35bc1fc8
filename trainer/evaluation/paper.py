"""The paper's own figures (arXiv 2501.04519), to print beside ours. Accuracies in percent."""

from collections.abc import Mapping
from dataclasses import dataclass

SUITES = ("math", "aime2024", "amc23", "olympiadbench", "collegemath", "gsm8k", "gaokao2023en")
"""The order of the paper's columns; its MATH is MATH-500."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table: what was measured, and its accuracies in the order of SUITES."""

    table: int
    model: str
    method: str
    accuracy: tuple[float | None, ...]

    def of(self, suite: str) -> float | None:
        """Its accuracy on a suite, in percent; None where the paper gives none."""
        name = "math" if suite == "math500" else suite
        return self.accuracy[SUITES.index(name)] if name in SUITES else None


_Q7 = "Qwen2.5-Math-7B"
_Q1 = "Qwen2.5-Math-1.5B"
_PHI = "Phi3-mini"
_RAW: Mapping[tuple[int, str, str], tuple[float | None, ...]] = {
    (10, _PHI, "greedy, base"): (41.4, None, None, None, None, None, None),
    (10, _PHI, "greedy, round 4"): (68.0, 10.0, 37.5, 36.6, 48.7, 87.9, 53.2),
    (10, _Q1, "greedy, base"): (51.2, None, None, None, None, None, None),
    (10, _Q1, "greedy, round 4"): (74.8, 13.3, 47.5, 42.5, 50.1, 83.1, 58.7),
    (3, _Q7, "greedy, base"): (58.8, 0.0, 22.5, 21.8, 41.6, 91.6, 51.7),
    (3, _Q7, "greedy, round 4"): (78.4, 26.7, 47.5, 47.1, 52.5, 89.7, 65.7),
    (5, _PHI, "MCTS, 8 trajectories"): (85.4, 40.0, 77.5, 59.3, 58.0, 94.5, 77.1),
    (5, _PHI, "MCTS, 64 trajectories"): (86.4, 43.3, 80.0, 60.3, 59.1, 94.7, 77.7),
    (5, _Q1, "MCTS, 8 trajectories"): (87.8, 46.7, 80.0, 63.5, 59.0, 94.3, 77.7),
    (5, _Q1, "MCTS, 64 trajectories"): (88.6, 46.7, 85.0, 64.6, 59.3, 94.8, 79.5),
    (5, _Q7, "MCTS, 8 trajectories"): (89.4, 50.0, 87.5, 65.3, 59.0, 95.0, 80.5),
    (5, _Q7, "MCTS, 64 trajectories"): (90.0, 53.3, 87.5, 65.6, 60.5, None, None),
}
LINES = tuple(Line(*key, accuracy) for key, accuracy in _RAW.items())
