"""An evaluation from end to end: problems, one run a method, summaries."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.common.grading.grader import Grader
from trainer.evaluation.methods import Method, digest
from trainer.evaluation.records import Record, RunFolder, read_settings
from trainer.evaluation.runner import Runner
from trainer.evaluation.service import SearchService, connect
from trainer.evaluation.suites import Source
from trainer.evaluation.summary import Summary, summarise
from trainer.problems.problem import Problem

SUMMARY_FILE = "summary.json"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one command asks for.

    Attributes:
        sources: of the problems, one suite after another.
        methods: run one after another on each suite.
        out: folder of the runs, one folder in it for each suite, method and settings.
        target: gRPC target of the search service.
        limit: most problems; None for all.
        shuffle: seed of the order of the problems; None for the order of the data.
        concurrency: problems at once.
        patience_seconds: how long one problem is tried again while the service is down or busy.
        models: versions that must answer, by `policy` and `ppm`; others stop the run.
        dollars_per_million: price of a million new tokens of the policy; 0 for none.
    """

    sources: Sequence[Source]
    methods: Sequence[Method]
    out: Path
    target: str
    limit: int | None
    concurrency: int
    patience_seconds: float
    dollars_per_million: float = 0.0
    models: Mapping[str, str] = field(default_factory=dict)
    shuffle: int | None = None

    def problems(self, source: Source) -> list[Problem]:
        """The problems of a suite that are asked for; BadProblems where they cannot be read."""
        if self.shuffle is None:
            return source.read(self.limit)
        problems = source.read()
        random.Random(self.shuffle).shuffle(problems)  # noqa: S311 - no secret
        return problems[: self.limit]

    def folder(self, settings: Mapping[str, object]) -> Path:
        """The folder of a run; other settings get another one."""
        return self.out / f"{settings['suite']}-{settings['method']}-{digest(settings)[:8]}"


class Watcher(Protocol):
    """Follows an evaluation, to show it."""

    def begin(self, method: str, wanted: int, known: Sequence[Record]) -> None:
        """A run begins, with what an earlier one left."""

    def report(self, record: Record) -> None:
        """A problem is done."""


async def evaluate(asked: Evaluation, watcher: Watcher) -> list[Summary]:
    """Run every method, going on where an earlier evaluation stopped, and sum up.

    Raises:
        BadProblems: the data cannot be read.
        ServiceAbsent: nothing answers at the target.
        RunStopped, RunError: the evaluation cannot go on; what is done is kept.
    """
    # All are read before the first is run: a suite that is missing is said at once.
    suites = [(source.suite, asked.problems(source)) for source in asked.sources]
    async with connect(asked.target, asked.patience_seconds) as service, Grader() as grader:
        return [
            await _run(asked, suite, problems, method, service, grader, watcher)
            for suite, problems in suites
            for method in asked.methods
        ]


async def _run(
    asked: Evaluation,
    suite: str,
    problems: Sequence[Problem],
    method: Method,
    service: SearchService,
    grader: Grader,
    watcher: Watcher,
) -> Summary:
    settings = {"suite": suite, **method.settings()}
    with RunFolder(asked.folder(settings), settings) as folder:
        runner = Runner(
            method, digest(settings), service, grader, folder, asked.concurrency, asked.models
        )
        missing = {problem.id for problem in runner.missing(problems)}
        kept = [folder.records[p.id] for p in problems if p.id not in missing]
        watcher.begin(f"{suite} {method.name}", len(problems), kept)
        try:
            await runner.run(problems, watcher.report)
        finally:
            # Also of a run that was cut off: what is there can be looked at and compared.
            summary = _summed_up(asked, settings, problems, folder)
        return summary


def _summed_up(
    asked: Evaluation,
    settings: Mapping[str, object],
    problems: Sequence[Problem],
    folder: RunFolder,
) -> Summary:
    """The summary of what a run has by now, which is also left in its folder."""
    # Records of problems beyond the limit stay in the folder, but do not count.
    records = [folder.records[p.id] for p in problems if p.id in folder.records]
    summary = summarise(
        settings,
        problems,
        records,
        concurrency=asked.concurrency,
        dollars_per_million=asked.dollars_per_million,
        out=str(folder.path),
    )
    text = json.dumps(summary.model_dump(), indent=2)
    (folder.path / SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")
    return summary


def name_of(path: Path) -> str:
    """What a run's folder holds, for people; RunError where it is none."""
    settings = read_settings(path)
    return f"{settings.get('suite')} {settings.get('method')}"
