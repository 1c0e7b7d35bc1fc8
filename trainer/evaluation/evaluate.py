"""An evaluation from end to end: problems, one run a method, summaries."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.common.grading.grader import Grader
from trainer.evaluation.methods import Method, digest
from trainer.evaluation.problems import Problem, read_problems
from trainer.evaluation.records import Record, RunFolder, read_settings
from trainer.evaluation.runner import Runner
from trainer.evaluation.service import SearchService, connect
from trainer.evaluation.summary import Summary, summarise

SUMMARY_FILE = "summary.json"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one command asks for.

    Attributes:
        data: a JSON-lines file of problems; its name without the ending names the suite.
        methods: run one after another.
        out: folder of the runs, one folder in it for each suite, method and settings.
        target: gRPC target of the search service.
        limit: most problems; None for all.
        concurrency: problems at once.
        patience_seconds: how long one problem is tried again while the service is down or busy.
    """

    data: Path
    methods: Sequence[Method]
    out: Path
    target: str
    limit: int | None
    concurrency: int
    patience_seconds: float

    @property
    def suite(self) -> str:
        """The name of the problems."""
        return self.data.name.removesuffix(".jsonl")

    def settings(self, method: Method) -> dict[str, object]:
        """What all records of a run share."""
        return {"suite": self.suite, **method.settings()}

    def folder(self, method: Method) -> Path:
        """The folder of a run; other settings get another one."""
        return self.out / f"{self.suite}-{method.name}-{digest(self.settings(method))[:8]}"


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
    problems = read_problems(asked.data, asked.limit)
    async with connect(asked.target, asked.patience_seconds) as service, Grader() as grader:
        return [
            await _run(asked, method, problems, service, grader, watcher)
            for method in asked.methods
        ]


async def _run(
    asked: Evaluation,
    method: Method,
    problems: Sequence[Problem],
    service: SearchService,
    grader: Grader,
    watcher: Watcher,
) -> Summary:
    settings = asked.settings(method)
    with RunFolder(asked.folder(method), settings) as folder:
        runner = Runner(method, digest(settings), service, grader, folder, asked.concurrency)
        missing = {problem.id for problem in runner.missing(problems)}
        kept = [folder.records[p.id] for p in problems if p.id not in missing]
        watcher.begin(method.name, len(problems), kept)
        await runner.run(problems, watcher.report)
        # Records of problems beyond the limit stay in the folder, but do not count.
        records = [folder.records[p.id] for p in problems if p.id in folder.records]
        summary = summarise(
            asked.suite,
            settings,
            records,
            wanted=len(problems),
            concurrency=asked.concurrency,
            out=str(folder.path),
        )
        text = json.dumps(summary.model_dump(), indent=2)
        (folder.path / SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")
        return summary


def name_of(path: Path) -> str:
    """What a run's folder holds, for people; RunError where it is none."""
    settings = read_settings(path)
    return f"{settings.get('suite')} {settings.get('method')}"
