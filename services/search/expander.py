"""One trial: draw candidates at a node, run their steps, score them, find their answers.

Everything here is I/O towards policy, sandbox, PPM and grader; the tree is not touched.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.common.answer_step import answer_step
from services.common.grading import answers
from services.common.pb.policy.v1 import policy_pb2
from services.common.pb.sandbox.v1 import sandbox_pb2
from services.common.steps import Step
from services.search import metrics
from services.search.answer_book import AnswerBook
from services.search.clients.calls import RejectedError
from services.search.clients.policy import PolicyClient, Sampling, Wanted
from services.search.clients.ppm import Scorer
from services.search.clients.sandbox import SandboxSession
from services.search.node import Outcome, StepResult, child_id
from services.search.pace import Pace
from services.search.stopwatch import Stopwatch
from services.search.store.events import TrialUsage, Waits
from services.search.tree import Candidate

# The search's own clock ends a trial; the deadline on the wire is for callers that have died.
_GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Prefix:
    """The partial solution at the node of a trial.

    Attributes:
        node_id: the node.
        path: ids and steps from the root's child down to the node; empty at the root.
        known: the result of a step that is in a tree of the search already, by its id.
    """

    node_id: str
    path: tuple[tuple[str, StepResult], ...]
    known: Callable[[str], StepResult | None]


@dataclass(slots=True)
class Yield:
    """What a trial brought: candidates in the order of their index, and what they cost.

    `waits` is what the steps of complete candidates took, by the ids of their nodes.
    """

    candidates: list[Candidate] = field(default_factory=list)
    policy_tokens: int = 0
    cut_tokens: int = 0
    ppm_calls: int = 0
    sandbox_runs: int = 0
    policy: set[str] = field(default_factory=set)
    ppm: set[str] = field(default_factory=set)
    waits: dict[str, Waits] = field(default_factory=dict)

    def usage(self) -> TrialUsage:
        """What was spent."""
        return TrialUsage(self.policy_tokens, self.ppm_calls, self.sandbox_runs, self.cut_tokens)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a search works with; `ppm` is None in an unguided search.

    `wanted` says which version of the policy it draws from.
    """

    policy: PolicyClient
    sandbox: SandboxSession
    ppm: Scorer | None
    book: AnswerBook
    wanted: Wanted = field(default_factory=Wanted)


class Expander:
    """Expands nodes of one search."""

    def __init__(self, search_id: str, problem: str, tools: Tools) -> None:
        self._search_id = search_id
        self._problem = problem
        self._tools = tools
        self._pace = Pace()

    async def expand(
        self, prefix: Prefix, count: int, sampling: Sampling, into: Yield, *, seconds: float
    ) -> None:
        """Draw `count` candidates and see what becomes of them; what they cost is counted at once.

        After `seconds` what is complete is kept and the rest is dropped. A prompt that no
        longer fits the model yields no candidates, except at the root, where the problem itself is
        at fault: RejectedError. DependencyError where policy, sandbox or PPM is down.
        """
        trial = _Trial(self._search_id, self._problem, self._tools, prefix, into, seconds)
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await trial.draw(count, sampling, self._pace)
        except TimeoutError:
            # What is complete is harvested.
            into.cut_tokens = self._cut_tokens(trial, count, sampling, begun)
        except asyncio.CancelledError:
            into.cut_tokens = self._cut_tokens(trial, count, sampling, begun)
            raise
        except RejectedError:
            if not prefix.path:
                raise
        finally:
            await trial.abandon()
        trial.harvest()

    def _cut_tokens(self, trial: "_Trial", count: int, sampling: Sampling, begun: float) -> int:
        """What the candidates took, by estimate, that had not finished."""
        each = self._pace.estimate(time.monotonic() - begun, sampling.max_tokens)
        return (count - trial.received) * each


class _Trial:
    """The state of one expansion."""

    def __init__(
        self,
        search_id: str,
        problem: str,
        tools: Tools,
        prefix: Prefix,
        into: Yield,
        seconds: float,
    ) -> None:
        self._search_id = search_id
        self._problem = problem
        self._tools = tools
        self._prefix = prefix
        self._timeout = seconds + _GRACE_SECONDS
        self._tasks: dict[int, asyncio.Task[Candidate]] = {}
        self._runs: dict[str, asyncio.Future[sandbox_pb2.RunResponse]] = {}
        self._yield = into

    @property
    def received(self) -> int:
        """Candidates that have finished."""
        return len(self._tasks)

    async def draw(self, count: int, sampling: Sampling, pace: Pace) -> None:
        """Follow each candidate from the moment that it is finished."""
        begun = time.monotonic()
        steps = [_as_step(result) for _, result in self._prefix.path]

        def on_candidate(proposal: policy_pb2.ProposeResponse) -> None:
            seconds = time.monotonic() - begun
            metrics.POLICY_PHASE.observe(seconds)
            pace.note(proposal.tokens, seconds)
            self._yield.policy_tokens += proposal.tokens
            self._yield.policy.add(proposal.model_version)
            self._tasks[proposal.index] = asyncio.create_task(self._follow(proposal, seconds))

        await self._tools.policy.propose(
            self._search_id,
            self._problem,
            steps,
            count,
            sampling,
            on_candidate,
            timeout_seconds=self._timeout,
            wanted=self._tools.wanted,
        )
        # The first failure ends the trial; the rest is then abandoned.
        await asyncio.gather(*self._tasks.values())

    async def abandon(self) -> None:
        """Cancel what is under way and wait until it is gone."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def harvest(self) -> None:
        """Keep what is complete."""
        self._yield.candidates = [
            task.result()
            for _, task in sorted(self._tasks.items(), key=lambda item: item[0])
            if task.done() and not task.cancelled() and task.exception() is None
        ]

    async def _follow(self, proposal: policy_pb2.ProposeResponse, seconds: float) -> Candidate:
        """Run a candidate's steps one after another, up to the first that fails.

        `seconds` is what the policy took for it.
        """
        path = list(self._prefix.path)
        start = len(path)
        watch = Stopwatch(seconds)
        for number, step in enumerate(proposal.steps, start=1):
            parent_id = path[-1][0] if path else self._prefix.node_id
            is_last = number == len(proposal.steps)
            ends_code = is_last and proposal.finish_reason == policy_pb2.FINISH_REASON_CODE
            identity = child_id(parent_id, step.text, ends_code)
            result = self._prefix.known(identity)
            if result is None:
                watch.wrote(identity)
                draft = StepResult(
                    text=step.text,
                    outcome=Outcome.OPEN,
                    ends_code=ends_code,
                    tokens=step.tokens,
                    mean_logprob=step.mean_logprob,
                    policy=proposal.model_version,
                )
                is_cut = is_last and proposal.finish_reason == policy_pb2.FINISH_REASON_LENGTH
                result = (
                    dataclasses.replace(draft, outcome=Outcome.LIMIT, error="cut at token limit")
                    if is_cut
                    else await watch.ran(identity, self._run(draft, identity, path))
                )
            path.append((identity, result))
            if result.outcome is not Outcome.OPEN:
                break
            if ends_code:
                path.append(await self._conclude(proposal, path, watch))
                break
        results = await self._scored(path, start, watch)
        self._yield.waits = watch.waits() | self._yield.waits
        return Candidate(tuple(results))

    async def _run(
        self, draft: StepResult, identity: str, path: Sequence[tuple[str, StepResult]]
    ) -> StepResult:
        """Run one step in the sandbox; siblings with the same text share the run."""
        try:
            if (same := self._runs.get(identity)) is not None:
                run = await asyncio.shield(same)
            else:
                run = await self._run_once(draft.text, identity, path)
        except RejectedError as error:
            return dataclasses.replace(draft, outcome=Outcome.FAILED, error=f"rejected: {error}")
        if run.status != sandbox_pb2.STATUS_OK:
            return dataclasses.replace(
                draft, outcome=Outcome.FAILED, output=run.output, error=_error(run)
            )
        return dataclasses.replace(draft, output=run.output)

    async def _run_once(
        self, code: str, identity: str, path: Sequence[tuple[str, StepResult]]
    ) -> sandbox_pb2.RunResponse:
        """Run a step that no sibling has run, for all that will ask for it."""
        self._yield.sandbox_runs += 1
        shared = self._runs[identity] = asyncio.get_running_loop().create_future()
        ancestors = [sandbox_pb2.CodeStep(node_id=i, code=r.text) for i, r in path]
        step = sandbox_pb2.CodeStep(node_id=identity, code=code)
        try:
            with metrics.SANDBOX_PHASE.time():
                run = await self._tools.sandbox.run(ancestors, step, timeout_seconds=self._timeout)
        except asyncio.CancelledError:
            shared.cancel()
            raise
        except Exception as error:
            shared.set_exception(error)
            shared.exception()  # seen here, whether or not a sibling waits
            raise
        shared.set_result(run)
        return run

    async def _conclude(
        self,
        proposal: policy_pb2.ProposeResponse,
        path: list[tuple[str, StepResult]],
        watch: Stopwatch,
    ) -> tuple[str, StepResult]:
        """The end of a solution whose code has ended: its last step, or an answer step after it."""
        identity, last = path[-1]
        if proposal.answer_source == policy_pb2.ANSWER_SOURCE_TEXT:
            return await self._written_answer(path, watch)
        path.pop()
        return identity, await self._terminal(last, answers.from_output(last.output))

    async def _written_answer(
        self, path: Sequence[tuple[str, StepResult]], watch: Stopwatch
    ) -> tuple[str, StepResult]:
        """Let the model write its answer under the output of its code."""
        steps = [_as_step(result) for _, result in path]
        # Greedy: what is left to decide is the wording.
        sampling = Sampling(temperature=0.0, max_tokens=256, seed=0, max_steps=1)
        text, tokens, logprob, version = "", 0, 0.0, ""
        written: list[policy_pb2.ProposeResponse] = []
        begun = time.monotonic()
        await self._tools.policy.propose(
            self._search_id,
            self._problem,
            steps,
            1,
            sampling,
            written.append,
            timeout_seconds=self._timeout,
            wanted=self._tools.wanted,
        )
        seconds = time.monotonic() - begun
        metrics.POLICY_PHASE.observe(seconds)
        for proposal in written:
            self._yield.policy_tokens += proposal.tokens
            self._yield.policy.add(proposal.model_version)
            tokens, version = proposal.tokens, proposal.model_version
            if proposal.steps:
                text, logprob = proposal.steps[0].text, proposal.steps[0].mean_logprob
        draft = StepResult(text, Outcome.OPEN, tokens=tokens, mean_logprob=logprob, policy=version)
        identity = child_id(path[-1][0], text, False)
        watch.wrote(identity, seconds)
        return identity, await self._terminal(draft, answers.from_text(text))

    async def _terminal(self, step: StepResult, answer: str | None) -> StepResult:
        if answer is None:
            return dataclasses.replace(
                step, outcome=Outcome.FAILED, error="the solution ends without an answer"
            )
        with metrics.GRADE_PHASE.time():
            key = await self._tools.book.key(answer)
            correct = await self._tools.book.is_right(key)
        return dataclasses.replace(step, outcome=Outcome.TERMINAL, answer=key, correct=correct)

    async def _scored(
        self, path: Sequence[tuple[str, StepResult]], start: int, watch: Stopwatch
    ) -> list[StepResult]:
        """The candidate's own steps, each that ran with its PPM score."""
        results = [result for _, result in path]
        fresh = [
            index
            for index in range(start, len(results))
            if results[index].outcome in (Outcome.OPEN, Outcome.TERMINAL)
            and results[index].ppm_score is None
        ]
        if self._tools.ppm is not None and fresh:
            judged = [_judged(results[: index + 1]) for index in fresh]
            try:
                begun = time.monotonic()
                with metrics.PPM_PHASE.time():
                    scores = await self._tools.ppm.score(judged, timeout_seconds=self._timeout)
            except RejectedError as error:
                cut = dataclasses.replace(
                    results[fresh[0]],
                    outcome=Outcome.LIMIT,
                    answer=None,
                    correct=None,
                    error=str(error),
                )
                return [*results[start : fresh[0]], cut]
            watch.scored((path[index][0] for index in fresh), time.monotonic() - begun)
            self._yield.ppm_calls += len(fresh)
            for index, score in zip(fresh, scores, strict=True):
                self._yield.ppm.add(score.version)
                results[index] = dataclasses.replace(
                    results[index], ppm_score=score.value, ppm=score.version
                )
        return results[start:]


def _judged(results: Sequence[StepResult]) -> list[Step]:
    """A partial solution as the PPM knows them: an answer that code has printed is written out."""
    steps, last = [_as_step(result) for result in results], results[-1]
    if last.outcome is Outcome.TERMINAL and last.ends_code:
        steps.append(answer_step(last.output, last.answer or ""))
    return steps


def _as_step(result: StepResult) -> Step:
    return Step(result.text, result.ends_code, result.output)


def _error(run: sandbox_pb2.RunResponse) -> str:
    """Why a run failed, in one line."""
    status = sandbox_pb2.Status.Name(run.status).removeprefix("STATUS_").lower()
    if not run.HasField("error"):
        return status
    line = f" (line {run.error.line})" if run.error.line else ""
    return f"{run.error.type or status}: {run.error.message}{line}"
