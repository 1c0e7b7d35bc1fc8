"""The page of an evaluation: runs side by side, against the paper, problem by problem."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trainer.evaluation import paper
from trainer.evaluation.analysis import Analysis, analyse
from trainer.evaluation.evaluate import SUMMARY_FILE
from trainer.evaluation.records import Record, RunError, read_records
from trainer.evaluation.rules import MEANINGS
from trainer.evaluation.suites import SUITES
from trainer.evaluation.summary import Comparison, Summary, compare
from trainer.evaluation.tree_files import TreeFiles
from trainer.reports import page, plots
from trainer.trees import SearchTree


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its summary, its records by problem, and where their trees are."""

    summary: Summary
    records: Mapping[str, Record]
    tree_files: TreeFiles

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.summary.suite} {self.summary.method}"

    def analysis(self) -> Analysis | None:
        """What its trees show; None where its records have none."""
        found = analyse(map(self.trees, self.records.values()))
        return found if found.nodes else None

    def trees(self, record: Record) -> list[SearchTree]:
        """The trees of one of its records; none where none were kept."""
        return [tree.grown() for tree in self.tree_files.read(record)]


@dataclass(frozen=True, slots=True)
class _Suite:
    title: str
    plot: str
    runs: Sequence[Summary]
    rules: Sequence[str]
    paper: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class _Difference:
    """A problem that one of two runs alone solved."""

    id: str
    question: str
    gold: str
    first: Record
    second: Record
    first_trees: Sequence[SearchTree]
    second_trees: Sequence[SearchTree]


@dataclass(frozen=True, slots=True)
class _Pair:
    first: str
    second: str
    result: Comparison
    won: Sequence[_Difference]
    lost: Sequence[_Difference]


def read_run(folder: Path) -> Run:
    """A run's folder; RunError where it holds none that has ended."""
    try:
        summary = Summary.model_validate_json((folder / SUMMARY_FILE).read_bytes())
    except OSError as error:
        raise RunError(f"{folder}: no run of an evaluation that has ended ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError(f"{folder / SUMMARY_FILE}: {place}: {first['msg']}") from error
    return Run(summary, read_records(folder), TreeFiles(folder))


def write(runs: Sequence[Run], folder: Path) -> Path:
    """Write the page of runs and its pictures into a folder; returns the page.

    Runs on one suite share a plot of accuracy against tokens; each two that follow one another on a
    suite are compared problem by problem, with the trees of what was won and lost.
    """
    if not runs:
        raise RunError("no runs to report on")
    folder.mkdir(parents=True, exist_ok=True)
    suites = {name: list(group) for name, group in itertools.groupby(_by_suite(runs), _suite_of)}
    analyses = {run.name: found for run in runs if (found := run.analysis()) is not None}
    path = folder / page.FILE
    page.render(
        "evaluation.html",
        path,
        title="Evaluation: " + ", ".join(suites),
        runs=runs,
        graders=sorted({grader for run in runs for grader in run.summary.grader}),
        engines=sorted({engine for run in runs for engine in run.summary.engine}),
        prompts=sorted({prompt for run in runs for prompt in run.summary.prompt_version}),
        suites=[_suite(name, members, folder) for name, members in suites.items()],
        analyses=analyses,
        meanings=MEANINGS,
        reliability=_reliability(analyses, folder),
        pairs=[
            _pair(first, second)
            for members in suites.values()
            for first, second in itertools.pairwise(members)
        ],
    )
    return path


def _suite_of(run: Run) -> str:
    return run.summary.suite


def _by_suite(runs: Sequence[Run]) -> list[Run]:
    """Runs of one suite together, otherwise in the order given."""
    order = list(dict.fromkeys(run.summary.suite for run in runs))
    return sorted(runs, key=lambda run: order.index(run.summary.suite))


def _suite(name: str, runs: Sequence[Run], folder: Path) -> _Suite:
    plot = f"{name}.png"
    series: dict[str, list[plots.Point]] = {}
    for run in runs:
        one = run.summary
        family = one.method.split("@")[0]
        low, high = one.ci95
        point = plots.Point(
            one.policy_tokens_per_problem, one.accuracy, low, high, f"{one.method} (n={one.n})"
        )
        series.setdefault(family, []).append(point)
        if curve := _votes(one):
            series[f"majority of k of {one.method}"] = curve
    plots.curves(
        folder / plot, series, x="new tokens of the policy a problem", y="share right", log=True
    )
    known = SUITES.get(name)
    figures = [(line, line.of(name)) for line in paper.LINES]
    return _Suite(
        title=known.title if known else name,
        plot=plot,
        runs=[run.summary for run in runs],
        rules=[rule for rule in MEANINGS if any(rule in run.summary.rules for run in runs)],
        paper=[
            {"method": line.method, "model": line.model, "table": line.table, "accuracy": accuracy}
            for line, accuracy in figures
            if accuracy is not None
        ],
    )


def _votes(one: Summary) -> list[plots.Point]:
    """What a vote of fewer of its samples reaches, at as many fewer tokens; without intervals."""
    most = max(one.majority_at_k, default=0)
    return [
        plots.Point(one.policy_tokens_per_problem * k / most, share, share, share)
        for k, share in one.majority_at_k.items()
    ]


def _reliability(analyses: Mapping[str, Analysis], folder: Path) -> str | None:
    """The name of the reliability diagram; None where no run was guided by a PPM."""
    series = {
        name: [(one.predicted, one.right, one.n) for one in found.reliability]
        for name, found in analyses.items()
        if found.reliability
    }
    if not series:
        return None
    plots.reliability(folder / "reliability.png", series)
    return "reliability.png"


def _pair(first: Run, second: Run) -> _Pair:
    try:
        result = compare(first.records, second.records)
    except ValueError as error:
        raise RunError(f"{first.name} and {second.name}: {error}") from error

    def differences(ids: Sequence[str]) -> list[_Difference]:
        return [
            _Difference(
                identity,
                second.records[identity].question,
                second.records[identity].gold,
                first.records[identity],
                second.records[identity],
                first.trees(first.records[identity]),
                second.trees(second.records[identity]),
            )
            for identity in ids
        ]

    return _Pair(
        first=first.summary.method,
        second=second.summary.method,
        result=result,
        won=differences(result.only_second),
        lost=differences(result.only_first),
    )
