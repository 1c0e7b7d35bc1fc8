"""What the trees of a run show beyond its accuracy; pure."""

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from trainer.trees import ROOT_ID, SearchTree, Trajectory

BINS = 10

_SECOND_THOUGHT = re.compile(
    r"\b(?:wait|however|mistake|incorrect|wrong|correction|correct(?:ed|ing) the|re-?check|"
    r"re-?calculate|re-?compute|re-?consider|instead of|double[- ]check|let(?:'s| us|s) fix)\b",
    re.IGNORECASE,
)


class ReliabilityBin(BaseModel):
    """Solutions whose PPM scores fall together.

    Attributes:
        low, high: bounds of the predicted probability (1 + score) / 2; `high` belongs to the last.
        n: solutions.
        predicted: their mean predicted probability.
        right: share of them that is right.
    """

    low: float
    high: float
    n: int
    predicted: float
    right: float


class Analysis(BaseModel):
    """What a run's trees show.

    Attributes:
        problems: those whose trees were kept.
        nodes: steps of all trees.
        failed_steps: share of the steps whose code failed.
        cut_steps: share of the steps that made a solution too long.
        dead_ends: share of the inner nodes none of whose children goes on or ends with an answer.
        depth: mean depth of the finished solutions, in steps.
        unique_answers: mean number of different answers of a problem.
        solutions: finished solutions.
        correct_solutions: share of them that is right.
        corrected: solutions in which a step revises an earlier result, see `revises`.
        corrected_right: share of those that is right; None where there are none.
        reliability: PPM scores of solutions against how often they are right; empty without a PPM.
        calibration_error: expected calibration error over these bins; None without a PPM.
    """

    problems: int
    nodes: int
    failed_steps: float
    cut_steps: float
    dead_ends: float
    depth: float
    unique_answers: float
    solutions: int
    correct_solutions: float
    corrected: int
    corrected_right: float | None
    reliability: list[ReliabilityBin]
    calibration_error: float | None


@dataclass(slots=True)
class _Counts:
    """What is added up; of a solution, only numbers, since all the trees need not fit in memory."""

    nodes: int = 0
    failed: int = 0
    cut: int = 0
    inner: int = 0
    dead: int = 0
    solutions: int = 0
    right: int = 0
    steps: int = 0
    corrected: int = 0
    corrected_right: int = 0
    answers: list[int] = field(default_factory=list)
    scored: list[tuple[float, bool]] = field(default_factory=list)


def analyse(searches: Iterable[Sequence[SearchTree]]) -> Analysis:
    """The analysis of a run's trees, those of one problem after another."""
    counts = _Counts()
    for trees in searches:
        for tree in trees:
            _count(tree, counts)
        answers = {one.answer for tree in trees for one in tree.trajectories()}
        counts.answers += [len(answers)] if trees else []
    bins = reliability(counts.scored)
    return Analysis(
        problems=len(counts.answers),
        nodes=counts.nodes,
        failed_steps=_share(counts.failed, counts.nodes),
        cut_steps=_share(counts.cut, counts.nodes),
        dead_ends=_share(counts.dead, counts.inner),
        depth=_share(counts.steps, counts.solutions),
        unique_answers=_share(sum(counts.answers), len(counts.answers)),
        solutions=counts.solutions,
        correct_solutions=_share(counts.right, counts.solutions),
        corrected=counts.corrected,
        corrected_right=_share(counts.corrected_right, counts.corrected)
        if counts.corrected
        else None,
        reliability=bins,
        calibration_error=calibration_error(bins) if bins else None,
    )


def _count(tree: SearchTree, counts: _Counts) -> None:
    counts.nodes += len(tree.nodes)
    counts.failed += sum(node.outcome == "failed" for node in tree.nodes.values())
    counts.cut += sum(node.outcome == "limit" for node in tree.nodes.values())
    for identity in (ROOT_ID, *tree.nodes):
        children = tree.children(identity)
        if children:
            counts.inner += 1
            counts.dead += all(child.outcome in ("failed", "limit") for child in children)
    for solution in tree.trajectories():
        _count_solution(solution, counts)


def _count_solution(solution: Trajectory, counts: _Counts) -> None:
    counts.solutions += 1
    counts.right += solution.correct
    counts.steps += len(solution.nodes)
    if revises(solution):
        counts.corrected += 1
        counts.corrected_right += solution.correct
    if (score := solution.leaf.ppm_score) is not None:
        counts.scored.append((score, solution.correct))


def revises(solution: Trajectory) -> bool:
    """Whether a later step revises an earlier result (the paper's self-reflection, section 5).

    The rule, stated so that it can be judged: a step after the first either says so in a comment
    (words such as "wait", "mistake", "recheck"), or assigns to a variable of an earlier step a
    value that does not build on it, and so takes back what was computed.
    """
    known: set[str] = set()
    for number, node in enumerate(solution.nodes):
        comments = "\n".join(re.findall(r"#(.*)", node.text))
        fresh = _assigned_afresh(node.text)
        if number and (_SECOND_THOUGHT.search(comments) or fresh & known):
            return True
        known |= fresh
    return False


def _assigned_afresh(code: str) -> set[str]:
    """Variables that top-level statements set without reading them."""
    try:
        statements = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError):
        return set()  # a written answer is no code
    names: set[str] = set()
    for statement in statements:
        if not isinstance(statement, ast.Assign):
            continue
        read = {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
        names |= {t.id for t in statement.targets if isinstance(t, ast.Name)} - read
    return names


def reliability(scored: Sequence[tuple[float, bool]]) -> list[ReliabilityBin]:
    """A reliability diagram (DeGroot & Fienberg 1983) in BINS equal bins, empty ones left out.

    Args:
        scored: PPM score of a solution, -1 to 1, and whether it is right.
    """
    groups: dict[int, list[tuple[float, bool]]] = {}
    for value, right in scored:
        probability = (1 + value) / 2
        groups.setdefault(min(int(probability * BINS), BINS - 1), []).append((probability, right))
    return [
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            n=len(members),
            predicted=_share(sum(p for p, _ in members), len(members)),
            right=_share(sum(right for _, right in members), len(members)),
        )
        for number, members in sorted(groups.items())
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean gap, bins weighted by size."""
    total = sum(one.n for one in bins)
    return _share(sum(one.n * abs(one.predicted - one.right) for one in bins), total)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
