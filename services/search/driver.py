"""Drives one search: keeps trials in flight, feeds the trees, writes the log, minds the budget.

A search may begin from the trials that an earlier replica logged: the trees are folded from them,
and what they spent is spent.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from services.common import logs, tracing
from services.common.models.manifest import Kind
from services.search import metrics
from services.search.budget import StopReason
from services.search.clients.calls import VersionGone
from services.search.clients.dependencies import DependencyError
from services.search.clients.policy import Sampling
from services.search.expander import Expander, Prefix, Yield
from services.search.forest import Forest
from services.search.plan import Plan
from services.search.schemas import Models, Progress, Solution, Usage
from services.search.solution import describe, progress
from services.search.stopping import stop_reason
from services.search.store.events import TrialTold, TrialUsage
from services.search.store.journal import Journal
from services.search.tree import Expansion, Trial

log = logs.get(__name__)

# How often a search that waits for its trials looks whether a dependency has stalled.
_LOOK_SECONDS = 1.0
# Candidates of one trial get consecutive seeds; trials are this far apart.
_SEEDS_PER_TRIAL = 1_000
# After a trial that a dependency failed, this long passes before the next is asked.
_FAULT_PAUSE_SECONDS = 0.25


class Driver:
    """One search, from its first trial to its solution."""

    def __init__(
        self,
        plan: Plan,
        expander: Expander,
        journal: Journal,
        stalled: Callable[[], DependencyError | None],
        past: Sequence[TrialTold] = (),
    ) -> None:
        self._plan = plan
        self._expander = expander
        self._journal = journal
        self._stalled = stalled
        # Time counts while a replica holds the search, as far as its last logged trial.
        used = past[-1].progress.usage.seconds if past else 0.0
        self._begun = time.monotonic() - used
        self._ledger = plan.ledger(self._begun)
        self._tasks: dict[asyncio.Task[None], tuple[Trial, Yield]] = {}
        self._usage = Usage()
        self._policies: set[str] = set()
        self._ppms: set[str] = set()
        self._failing_since: float | None = None
        self._ask_after = 0.0
        self.forest = Forest.replay(plan.config, [told.expanded for told in past])
        self._ledger.resume(self.forest.rollouts)
        for told in past:
            self._spend(told.usage, len(told.expanded.candidates), told.policy)
            self._ppms.update(told.ppm)

    async def run(self) -> Solution:
        """Search until a budget is spent or nothing can change.

        Every trial is in the log before the search goes on. DependencyError where a dependency is
        down or has stalled; RejectedError where the problem does not fit the policy; LeaseLost
        where another replica has taken the search. Cancelling the call cancels all that the search
        holds.
        """
        try:
            reason = await self._loop()
        finally:
            await self._abandon()
        return self.solution(reason)

    @property
    def pinned_models(self) -> list[tuple[Kind, str]]:
        """Model versions that it must go on with."""
        return self._plan.pinned_models()

    def progress(self) -> Progress:
        """How far the search is."""
        return progress(self.forest, self._plan.search_id, self._current_usage())

    async def _loop(self) -> StopReason:
        threshold = self._plan.request.search.confidence
        while True:
            now = time.monotonic()
            if (reason := stop_reason(self.forest, self._ledger, threshold, now)) is not None:
                return reason
            self._ask_more(now)
            pause = max(self._ask_after - now, 0.0)
            if not self._tasks and not pause:
                # Nothing is under way, and what is left is too little for another candidate.
                return StopReason.TOKENS
            await self._await_some(min(pause or _LOOK_SECONDS, self._ledger.deadline - now))

    async def _await_some(self, seconds: float) -> None:
        """Wait for trials and tell what came of those that have ended."""
        if not self._tasks:
            await asyncio.sleep(seconds)
            return
        done, _ = await asyncio.wait(
            self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if not done and (error := self._stalled()) is not None:
            raise error
        await self._tell(done)

    def _ask_more(self, now: float) -> None:
        """Fill the places for trials in flight, as far as the budget goes."""
        if now < self._ask_after:
            return
        while len(self._tasks) < self._plan.request.search.parallel:
            affordable = self._ledger.affordable(self.forest)
            trial = self.forest.ask(affordable) if affordable else None
            if trial is None:
                return
            self._ledger.in_flight += trial.count
            harvest = Yield()
            task = asyncio.create_task(self._expand(trial, harvest, self._ledger.deadline - now))
            self._tasks[task] = trial, harvest

    async def _expand(self, trial: Trial, into: Yield, seconds: float) -> None:
        node = self.forest.node(trial)
        prefix = Prefix(
            node.id,
            tuple((above.id, above.step) for above in node.path() if above.step is not None),
            self.forest.known,
        )
        options = self._plan.request.search
        sampling = Sampling(
            temperature=options.temperature,
            max_tokens=self._ledger.candidate_cap(self._plan.candidate_tokens),
            seed=self._plan.seed + trial.id * _SEEDS_PER_TRIAL,
            max_steps=1 if self._plan.config.tree.expansion is Expansion.STEP else 0,
        )
        with tracing.span("trial", search=self._plan.search_id, trial=trial.id, node=node.id):
            await self._expander.expand(prefix, trial.count, sampling, into, seconds=seconds)

    async def _tell(self, done: set[asyncio.Task[None]]) -> None:
        """Tell the trees what came of trials that have ended, and log it; raise what one failed of.

        It is raised after the log is written: what the trees were told must be in there.
        """
        events: list[TrialTold] = []
        failure: BaseException | None = None
        for task in done:
            trial, harvest = self._tasks.pop(task)
            self._ledger.in_flight -= trial.count
            usage = harvest.usage()
            self._spend(usage, len(harvest.candidates), tuple(harvest.policy))
            metrics.count_trial(usage)
            self._ppms |= harvest.ppm
            if (error := task.exception()) is not None:
                failure = failure or self._forgive(trial, error)
            elif (told := self._graft(trial, harvest, usage)) is not None:
                events.append(told)
        if events:
            with metrics.LOG_PHASE.time():
                await self._journal.append(events)
        if failure is not None:
            raise failure

    def _graft(self, trial: Trial, harvest: Yield, usage: TrialUsage) -> TrialTold | None:
        """Tell the trees what a trial brought; the event for the log, None where none is due."""
        self._failing_since = None
        size, rollouts = self.forest.size, self.forest.rollouts
        expanded = self.forest.tell(trial.id, harvest.candidates)
        metrics.count_growth(self.forest.size - size, self.forest.rollouts - rollouts)
        if expanded is None:
            return None
        policies, ppms = tuple(sorted(harvest.policy)), tuple(sorted(harvest.ppm))
        return TrialTold(expanded, usage, self.progress(), policies, ppms, waits=harvest.waits)

    def _forgive(self, trial: Trial, error: BaseException) -> BaseException | None:
        """Take back a trial that failed; the error where the search cannot go on after it."""
        self.forest.forget(trial.id)
        if not isinstance(error, DependencyError):
            return error
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        gone = isinstance(error, VersionGone)
        if gone or now - self._failing_since >= self._plan.stall_seconds:
            return error
        self._ask_after = now + _FAULT_PAUSE_SECONDS
        log.warning("trial failed", search_id=self._plan.search_id, detail=str(error))
        return None

    def _spend(self, usage: TrialUsage, candidates: int, policies: Sequence[str]) -> None:
        self._ledger.spent_tokens += usage.policy_tokens
        self._ledger.candidates += candidates
        self._usage.policy_tokens += usage.policy_tokens
        self._usage.cut_tokens += usage.cut_tokens
        self._usage.ppm_calls += usage.ppm_calls
        self._usage.sandbox_runs += usage.sandbox_runs
        self._policies.update(policies)

    async def _abandon(self) -> None:
        for task, (trial, _) in self._tasks.items():
            task.cancel()
            self.forest.forget(trial.id)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Their solutions are lost, but not what they cost.
        for _, harvest in self._tasks.values():
            usage = harvest.usage()
            self._spend(usage, len(harvest.candidates), tuple(harvest.policy))
            metrics.count_trial(usage)
        self._tasks.clear()

    def _current_usage(self) -> Usage:
        under_way = [harvest for _, harvest in self._tasks.values()]
        return self._usage.model_copy(
            update={
                "policy_tokens": self._usage.policy_tokens
                + sum(harvest.policy_tokens for harvest in under_way),
                "rollouts": self.forest.rollouts,
                "nodes": self.forest.size,
                "seconds": round(time.monotonic() - self._begun, 3),
            }
        )

    def solution(self, reason: StopReason) -> Solution:
        """The result as the trees stand."""
        ppms = ",".join(sorted(self._ppms)) or self._plan.ppm
        models = Models(policy=",".join(sorted(self._policies)), ppm=ppms)
        found = describe(self.forest, self._plan.search_id, reason, self._current_usage(), models)
        found.trace_id = tracing.trace_id() or None
        return found
