"""Runs one method over the problems of a suite, several at a time."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import grpc

from services.common.grading.grader import GRADER_VERSION, Grader
from services.common.pb.search.v1 import search_pb2 as pb
from trainer.evaluation.methods import Method
from trainer.evaluation.records import Failure, RatedAnswer, Record, RunFolder, Step, Usage
from trainer.evaluation.rules import choices
from trainer.evaluation.service import SearchService, SolveFailed
from trainer.evaluation.tree_files import TreeFiles
from trainer.found_tree import FoundTree, graded
from trainer.problems.problem import Problem
from trainer.wire_trees import to_trees

Report = Callable[[Record], None]


class RunStopped(Exception):  # noqa: N818 - an event
    """A run that cannot go on; what is done is kept, and the same command goes on from there."""


class Runner:
    """One run: a method, a suite, a folder."""

    def __init__(
        self,
        method: Method,
        settings_digest: str,
        service: SearchService,
        grader: Grader,
        folder: RunFolder,
        concurrency: int,
        models: Mapping[str, str],
    ) -> None:
        self._method = method
        self._digest = settings_digest
        self._service = service
        self._grader = grader
        self._folder = folder
        self._tree_files = TreeFiles(folder.path)
        self._concurrency = concurrency
        self._models = models
        self._absences = 0
        self._info: pb.InfoResponse | None = None

    def missing(self, problems: Sequence[Problem]) -> list[Problem]:
        """The problems without a result in the folder; failed ones are among them."""
        return [problem for problem in problems if not self._is_done(problem)]

    async def run(self, problems: Sequence[Problem], report: Report) -> None:
        """Solve, grade and keep what is missing; `report` gets each record once it is kept.

        Raises:
            RunStopped: the service refuses the settings, or is gone for good.
            RunError: other models answer than before.
        """
        waiting = iter(self.missing(problems))

        async def work() -> None:
            for problem in waiting:
                record = await self._record(problem)
                self._folder.append(record)
                report(record)

        tasks = [asyncio.create_task(work()) for _ in range(self._concurrency)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _is_done(self, problem: Problem) -> bool:
        record = self._folder.records.get(problem.id)
        return (
            record is not None
            and record.failure is None
            and record.problem_digest == problem.digest
        )

    async def _record(self, problem: Problem) -> Record:
        begun = time.monotonic()
        record = Record(
            id=problem.id,
            question=problem.question,
            problem_digest=problem.digest,
            gold=problem.answer,
            seed=self._method.seed_of(problem.id),
            grader=GRADER_VERSION,
            settings_digest=self._digest,
        )
        try:
            request = self._method.request(problem.id, problem.question)
            solution = await self._service.solve(request)
            nodes = await self._service.tree(solution.search_id)
            info = await self._served(solution.models)
        except SolveFailed as failure:
            self._consider(failure)
            record.failure = Failure(code=failure.code.name, details=failure.details)
        else:
            self._absences = 0
            self._check_models(solution.models)
            await self._fill(record, solution)
            self._fill_origin(record, info)
            await self._keep(record, to_trees(nodes, solution.models.policy))
        record.seconds = round(time.monotonic() - begun, 3)
        return record

    async def _served(self, models: pb.Models) -> pb.InfoResponse:
        """What stood behind a solution, asked for again whenever the models have changed."""
        known = self._info
        # What an unguided search leaves aside may be served beside it.
        if known and known.policy == models.policy and models.ppm in ("", known.ppm):
            return known
        self._info = known = await self._service.info()
        return known

    def _consider(self, failure: SolveFailed) -> None:
        """Stop the run where the next problem would fail in the same way."""
        refused = failure.code is grpc.StatusCode.INVALID_ARGUMENT
        if refused and not failure.details.startswith("problem"):
            raise RunStopped(f"the service refuses the settings: {failure.details}") from failure
        self._absences = self._absences + 1 if failure.passing else 0
        if self._absences >= self._concurrency:
            raise RunStopped(f"the service is gone: {failure}") from failure

    def _check_models(self, models: pb.Models) -> None:
        for kind, wanted in self._models.items():
            if (served := getattr(models, kind)) != wanted:
                raise RunStopped(f"models: {kind} {served!r} answers, {wanted!r} was asked for")

    async def _fill(self, record: Record, solution: pb.Solution) -> None:
        if solution.HasField("answer"):
            record.answer = solution.answer
            record.correct = await self._grader.correct(record.gold, solution.answer)
        record.alternatives = [
            RatedAnswer(
                answer=one.answer,
                weight=one.weight,
                trajectories=one.trajectories,
                correct=await self._grader.correct(record.gold, one.answer),
            )
            for one in solution.alternatives
        ]
        record.confidence = solution.confidence
        record.guided = solution.guided
        record.stop_reason = _word(solution.stop_reason)
        record.usage = Usage(
            **{field: getattr(solution.usage, field) for field in Usage.model_fields}
        )
        record.policy, record.ppm = solution.models.policy, solution.models.ppm
        record.search_id = solution.search_id
        record.steps = [
            Step(
                text=step.text,
                code=step.code,
                output=step.output,
                q=step.q,
                visits=step.visits,
                ppm_score=step.ppm_score if step.HasField("ppm_score") else None,
            )
            for step in solution.steps
        ]

    async def _keep(self, record: Record, trees: Sequence[FoundTree]) -> None:
        judged = await graded(trees, record.gold, self._grader)
        record.rules = choices(judged)
        # Compressing large trees takes longer than other problems should wait.
        await asyncio.to_thread(self._tree_files.write, record, judged)

    def _fill_origin(self, record: Record, info: pb.InfoResponse) -> None:
        """Left empty of a model that has been exchanged since: nobody can say it any more."""
        if info.policy == record.policy:
            record.prompt_version, record.policy_engine = info.prompt_version, info.policy_engine
        if info.ppm == record.ppm:
            record.ppm_engine = info.ppm_engine


def _word(reason: pb.StopReason.ValueType) -> str:
    return pb.StopReason.Name(reason).removeprefix("STOP_REASON_").lower()
