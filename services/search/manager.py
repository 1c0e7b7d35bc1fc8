"""All searches of this process: admission, what each one holds, and its end."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.common import logs, rpc
from services.common.grading.grader import Grader
from services.search.answer_book import AnswerBook
from services.search.budget import StopReason
from services.search.clients.dependencies import Dependency, DependencyError, Monitor, grpc_health
from services.search.clients.policy import PolicyClient
from services.search.clients.ppm import PpmClient
from services.search.clients.sandbox import SandboxSession
from services.search.driver import Driver, Plan
from services.search.expander import Expander, Tools
from services.search.schemas import MAX_SEED, Progress, Solution, SolveRequest
from services.search.settings import SearchSettings
from services.search.store.event_log import EventLog
from services.search.store.events import Event, Failed, Finished

log = logs.get(__name__)

# What a search that has ended may still take to write its last event and close its session.
_FAREWELL_SECONDS = 2.0


class BusyError(Exception):
    """As many searches are running as the service allows."""

    def __init__(self, limit: int, retry_after_seconds: int = 1) -> None:
        super().__init__(f"{limit} searches are running, which is the limit")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Running:
    """A search under way."""

    search_id: str
    driver: Driver
    task: asyncio.Task[Solution]


class Manager:
    """Runs searches for the REST and gRPC front ends; the grader is its owner's."""

    def __init__(self, settings: SearchSettings, grader: Grader) -> None:
        self._settings = settings
        self._grader = grader
        self._log = EventLog(
            settings.redis_url,
            timeout_seconds=settings.dependency_timeout_seconds,
            retention_seconds=settings.retention_seconds,
        )
        self._policy_channel = rpc.channel(settings.policy_target)
        self._sandbox_channel = rpc.channel(settings.sandbox_target)
        self._ppm_channel = rpc.channel(settings.ppm_target) if settings.ppm_target else None
        self._policy = PolicyClient(
            self._policy_channel, patience_seconds=settings.patience_seconds
        )
        self._running: set[str] = set()
        self.monitor = Monitor(
            self._dependencies(),
            timeout_seconds=settings.dependency_timeout_seconds,
            stall_seconds=settings.stall_seconds,
        )

    def _dependencies(self) -> dict[str, Dependency]:
        dependencies = {
            "redis": Dependency(self._log.ping),
            "policy": Dependency(grpc_health("policy", self._policy_channel)),
            "sandbox": Dependency(grpc_health("sandbox", self._sandbox_channel)),
        }
        if self._ppm_channel is not None:
            # Its process must be there to say whether it has a model: a search goes unguided
            # because none is published, never because the PPM was slow to answer.
            dependencies["ppm"] = Dependency(grpc_health("ppm", self._ppm_channel))
        return dependencies

    async def start(self) -> None:
        """Start the watch over the dependencies."""
        await self.monitor.start()

    async def close(self) -> None:
        """Give everything back; searches must have ended."""
        await self.monitor.stop()
        await self._log.close()
        for channel in (self._policy_channel, self._sandbox_channel, self._ppm_channel):
            if channel is not None:
                await channel.close(None)

    async def begin(self, request: SolveRequest) -> Running:
        """Admit a search and start it.

        BusyError where too many are running; DependencyError where a dependency is down.
        """
        limit = self._settings.max_searches
        if len(self._running) >= limit:
            raise BusyError(limit)
        # Sorts by time of creation; the random part keeps ids from being guessed.
        search_id = f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(8)}"
        self._running.add(search_id)
        try:
            await self.monitor.require()
            plan = await self._plan(search_id, request)
        except BaseException:
            self._running.discard(search_id)
            raise
        session = self._session(search_id)
        driver = self._driver(plan, session)
        task = asyncio.create_task(self._run(plan, driver, session), name=f"search-{search_id}")
        return Running(search_id, driver, task)

    async def follow(
        self, running: Running, *, interval_seconds: float = 0.5
    ) -> AsyncIterator[Progress | Solution]:
        """Progress at intervals, then the solution. Closing the iterator cancels the search.

        DependencyError, or RejectedError where the problem does not fit the policy.
        """
        try:
            while not running.task.done():
                yield running.driver.progress()
                await asyncio.wait({running.task}, timeout=interval_seconds)
            yield running.task.result()
        finally:
            await self.cancel(running)

    async def cancel(self, running: Running) -> None:
        """End a search that is still under way and wait until it has let go of everything."""
        running.task.cancel()
        # Its outcome, if any, has been taken by whoever waited for it.
        await asyncio.gather(running.task, return_exceptions=True)

    async def _plan(self, search_id: str, request: SolveRequest) -> Plan:
        seed = request.search.seed
        return Plan(
            search_id=search_id,
            request=request,
            seed=secrets.randbelow(MAX_SEED) if seed is None else seed,
            ppm=await self._ppm_version(),
            candidate_tokens=self._settings.candidate_tokens,
        )

    async def _ppm_version(self) -> str | None:
        """The PPM that will guide a search; None where none is configured or published."""
        if self._ppm_channel is None:
            return None
        client = PpmClient(self._ppm_channel, patience_seconds=self._settings.patience_seconds)
        return await client.version(self._settings.dependency_timeout_seconds)

    def _session(self, search_id: str) -> SandboxSession:
        return SandboxSession(
            self._sandbox_channel,
            search_id,
            patience_seconds=self._settings.patience_seconds,
            step_seconds=self._settings.step_seconds,
        )

    def _driver(self, plan: Plan, session: SandboxSession) -> Driver:
        ppm = None
        if plan.ppm is not None and self._ppm_channel is not None:
            ppm = PpmClient(self._ppm_channel, patience_seconds=self._settings.patience_seconds)
        tools = Tools(self._policy, session, ppm, AnswerBook(self._grader))
        expander = Expander(plan.search_id, plan.request.problem, tools)
        return Driver(plan, expander, self._log, self.monitor.stalled)

    async def _run(self, plan: Plan, driver: Driver, session: SandboxSession) -> Solution:
        last: Event = Failed("internal", "the search ended without a result")
        try:
            await session.open(self._settings.patience_seconds + 1.0)
            solution = await driver.run()
            last = Finished(solution)
        except asyncio.CancelledError:
            last = Finished(driver.solution(StopReason.CANCELLED))
            raise
        except Exception as error:
            cause = error.name if isinstance(error, DependencyError) else "internal"
            last = Failed(cause, f"{type(error).__name__}: {error}")
            raise
        finally:
            self._running.discard(plan.search_id)
            await asyncio.shield(self._farewell(plan.search_id, session, last))
        self._report(solution)
        return solution

    async def _farewell(self, search_id: str, session: SandboxSession, last: Event) -> None:
        """Write the last event and close the session, as far as redis and sandbox are there."""
        for what in (
            self._log.append(search_id, [last], last=True),
            session.close(_FAREWELL_SECONDS),
        ):
            try:
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await what
            except (DependencyError, TimeoutError) as error:
                log.warning("search not wound up", search_id=search_id, detail=str(error))

    def _report(self, solution: Solution) -> None:
        log.info(
            "search finished",
            search_id=solution.search_id,
            stop_reason=solution.stop_reason,
            answered=solution.answer is not None,
            confidence=round(solution.confidence, 3),
            guided=solution.guided,
            **solution.usage.model_dump(),
        )
