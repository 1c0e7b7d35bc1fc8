"""A search that this replica holds, from its first trial here to its end or its handover."""

import asyncio
from enum import Enum

from services.common import logs, tracing
from services.common.models.manifest import Kind
from services.search import metrics
from services.search.budget import StopReason
from services.search.clients.calls import RejectedError
from services.search.clients.dependencies import DependencyError
from services.search.clients.sandbox import SandboxSession
from services.search.driver import Driver
from services.search.schemas import Solution
from services.search.store.errors import LeaseLost
from services.search.store.events import Failed, Finished
from services.search.store.journal import Journal

log = logs.get(__name__)

# What a search that has ended may still take to close its session.
_FAREWELL_SECONDS = 2.0


class Fate(Enum):
    """Why a search is ended before its time."""

    CANCELLED = "cancelled"
    """Its caller wants no more of it: its log ends with what was found."""
    LOST = "lost"
    """Another replica has it: not a word is written, and its sandbox session is the other's."""
    HANDED_OVER = "handed over"
    """This replica stops: the search stays open, and the next goes on with it."""


class Holder:
    """Runs one search and writes its end.

    Args:
        log_problem: the problem, where it may be logged with its solution; None where it may not.
        traceparent: the span that it was begun in, where that was in another process; empty where
            it was not, or was not traced.

    Attributes:
        is_open: whether the search has not ended and is not known to be another replica's.
        has_ended: whether its end was written here.
        error: what kept the end of the search from being written here; None where it was written,
            and where the search goes on elsewhere.
    """

    def __init__(
        self,
        search_id: str,
        driver: Driver,
        journal: Journal,
        session: SandboxSession,
        *,
        log_problem: str | None = None,
        traceparent: str = "",
    ) -> None:
        self.search_id = search_id
        self.journal = journal
        self.is_open = True
        self.has_ended = False
        self.error: Exception | None = None
        self._driver = driver
        self._session = session
        self._log_problem = log_problem
        self._traceparent = traceparent
        self._fate: Fate | None = None
        self._is_ending = False
        self._task: asyncio.Task[None] | None = None

    @property
    def pinned_models(self) -> list[tuple[Kind, str]]:
        """Model versions that it must go on with."""
        return self._driver.pinned_models

    def start(self, *, open_seconds: float) -> "asyncio.Task[None]":
        """Go on in a task, which never raises; `open_seconds` is what the sandbox may take."""
        self._task = asyncio.create_task(self._run(open_seconds), name=f"search-{self.search_id}")
        return self._task

    async def end(self, fate: Fate) -> None:
        """End it and wait until it has let go of everything; the first fate counts.

        One that has come to its own end by then is let write it.
        """
        if self._task is None or self._task.done():
            return
        if self._fate is None and not self._is_ending:
            self._fate = fate
            self._task.cancel()
        # A caller who is cancelled meanwhile leaves it to end by itself.
        await asyncio.shield(asyncio.gather(self._task, return_exceptions=True))

    async def _run(self, open_seconds: float) -> None:
        adopted = tracing.span_under(self._traceparent, "adopted search", search=self.search_id)
        with adopted, tracing.unless_traced():
            await self._search(open_seconds)

    async def _search(self, open_seconds: float) -> None:
        last: Finished | Failed
        try:
            await self._open_session(open_seconds)
            solution = await self._driver.run()
            last = Finished(solution)
            _report(solution, self._log_problem)
        except asyncio.CancelledError:
            if self._fate is not Fate.CANCELLED:
                self.is_open = self._fate is not Fate.LOST
                return
            last = Finished(self._driver.solution(StopReason.CANCELLED))
        except LeaseLost as lost:
            self._leave(lost)
            return
        except Exception as error:
            last = _failure(error)
            is_ours = last.cause == "internal"
            log.warning(
                "search failed",
                search_id=self.search_id,
                cause=last.cause,
                # What an unexpected error says may quote the problem; its traceback has the rest.
                detail=type(error).__name__ if is_ours else last.detail,
                exc_info=error if is_ours else None,
            )
        self._is_ending = True
        await self._farewell(last)

    async def _farewell(self, last: Finished | Failed) -> None:
        """Write the last event and close the session, as far as redis and sandbox are there."""
        try:
            await self.journal.append([last], last=True)
        except LeaseLost as lost:
            self._leave(lost)
            return
        except DependencyError as error:
            # The search is still open in Redis, and goes on when that is back.
            self.error = error
            log.warning("end not written", search_id=self.search_id, detail=error.detail)
            return
        self.is_open = False
        self.has_ended = True
        metrics.count_end(last)
        await self._close_session()

    def _leave(self, lost: LeaseLost) -> None:
        self.is_open = False
        log.info("search left to another replica", search_id=self.search_id, why=lost.why)

    async def _open_session(self, seconds: float) -> None:
        """Open the session, or leave that to the trials, which have more patience."""
        try:
            await self._session.open(seconds)
        except DependencyError as error:
            log.warning("session not open yet", search_id=self.search_id, detail=str(error))

    async def _close_session(self) -> None:
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._session.close(_FAREWELL_SECONDS)
        except (DependencyError, RejectedError, TimeoutError) as error:
            log.warning("session not closed", search_id=self.search_id, detail=str(error))


def _failure(error: Exception) -> Failed:
    trace = tracing.trace_id()
    match error:
        case DependencyError():
            return Failed(error.name, error.detail, trace_id=trace)
        case RejectedError():
            return Failed("problem", str(error), trace_id=trace)
    return Failed("internal", f"{type(error).__name__}: {error}", trace_id=trace)


def _report(solution: Solution, problem: str | None) -> None:
    policy, answered = solution.models.policy, str(solution.answer is not None).lower()
    metrics.BY_POLICY.labels(policy, solution.stop_reason, answered).inc()
    metrics.CONFIDENCE.labels(policy).observe(solution.confidence)
    log.info(
        "search finished",
        search_id=solution.search_id,
        stop_reason=solution.stop_reason,
        answered=solution.answer is not None,
        confidence=round(solution.confidence, 3),
        guided=solution.guided,
        **solution.usage.model_dump(),
        **({} if problem is None else _content(solution, problem)),
    )


def _content(solution: Solution, problem: str) -> dict[str, str | None]:
    """What is logged only where it is asked for."""
    code = "\n".join(step.code for step in solution.steps)
    return {"problem": problem, "answer": solution.answer, "code": code}
