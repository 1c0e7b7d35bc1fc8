"""Puts together what one search needs: clients, sandbox session, answers, driver."""

import dataclasses
import hashlib
from collections.abc import Sequence

from services.common.grading.grader import Grader
from services.search.answer_book import AnswerBook
from services.search.clients.dependencies import Dependency, Monitor
from services.search.clients.policy import Wanted
from services.search.clients.services import Services
from services.search.driver import Driver
from services.search.expander import Expander, Tools
from services.search.holder import Holder
from services.search.plan import Plan
from services.search.schemas import SolveRequest
from services.search.served import Served
from services.search.settings import SearchSettings
from services.search.store.events import Started, TrialTold
from services.search.store.journal import Journal
from services.search.store.lease import Lease
from services.search.store.searches import SearchStore


class Launcher:
    """Makes holders of searches; owns the clients of policy, sandbox and PPM."""

    def __init__(self, settings: SearchSettings, grader: Grader) -> None:
        self._settings = settings
        self._grader = grader
        self._services = Services(settings)

    def dependencies(self) -> dict[str, Dependency]:
        """The services that searches depend on."""
        return self._services.dependencies()

    async def ppm_version(self) -> str | None:
        """The PPM that would guide a search; None where none is configured or published."""
        if self._services.ppm is None:
            return None
        return await self._services.ppm.version(self._settings.dependency_timeout_seconds)

    async def served(self) -> Served:
        """What a search that begins now would be answered with. DependencyError, RejectedError."""
        seconds = self._settings.dependency_timeout_seconds
        policy = await self._services.policy.info("", seconds)
        found = Served(policy.model_version, policy.prompt_version, policy.engine)
        if self._services.ppm is None:
            return found
        ppm = await self._services.ppm.info(seconds)
        return dataclasses.replace(found, ppm=ppm.model_version, ppm_engine=ppm.engine)

    async def policy_version(self, search_id: str, request: SolveRequest) -> str:
        """The version that a search is to draw from; empty for whichever is served.

        A share of the searches, the same ones on every replica, try the canary.
        """
        share, canary = self._settings.canary_share, self._settings.canary_version
        pinned = request.search.versions == "pinned"
        tried = share > 0 and draw(search_id) < share
        if not (pinned or tried):
            return ""
        if tried and canary:
            return canary
        seconds = self._settings.dependency_timeout_seconds
        main, trials = await self._services.policy.versions(search_id, seconds)
        if tried and trials:
            return trials[0]
        return main if pinned else ""

    def can_run(self, started: Started) -> bool:
        """Whether this replica has what a search needs: a PPM, where one guides it."""
        return started.ppm is None or self._services.ppm is not None

    def holder(
        self,
        started: Started,
        store: SearchStore,
        lease: Lease,
        monitor: Monitor,
        past: Sequence[TrialTold] = (),
    ) -> Holder:
        """What runs a search under a lease, from the trials that are in its log."""
        plan = self._plan(lease.search_id, started)
        session = self._services.sandbox_session(plan.search_id, adopted=lease.is_adopted)
        journal = Journal(store, lease, patience_seconds=self._settings.stall_seconds)
        book = AnswerBook(self._grader, truth=started.request.ground_truth)
        book.restore(_answers(past))
        client = self._services.ppm if plan.ppm is not None else None
        version = plan.ppm or "" if plan.pinned else ""
        scorer = None
        if client is not None:
            scorer = client.scorer(
                plan.search_id, plan.request.problem, version, coming=lambda: session.is_running
            )
        wanted = Wanted(plan.policy, plan.pinned)
        tools = Tools(self._services.policy, session, scorer, book, wanted)
        expander = Expander(plan.search_id, plan.request.problem, tools)
        driver = Driver(plan, expander, journal, monitor.stalled, past)
        problem = plan.request.problem if self._settings.log_problems else None
        above = started.traceparent if lease.is_adopted else ""
        return Holder(
            plan.search_id, driver, journal, session, log_problem=problem, traceparent=above
        )

    async def end_session(self, search_id: str) -> None:
        """Close what the sandbox holds of a search that nobody goes on with.

        DependencyError, RejectedError: it expires there by itself.
        """
        session = self._services.sandbox_session(search_id, adopted=True)
        await session.close(self._settings.dependency_timeout_seconds)

    async def close(self) -> None:
        """Give the channels back."""
        await self._services.close()

    def _plan(self, search_id: str, started: Started) -> Plan:
        return Plan(
            search_id=search_id,
            request=started.request,
            config=started.config,
            seed=started.seed,
            ppm=started.ppm,
            policy=started.policy,
            candidate_tokens=self._settings.candidate_tokens,
            stall_seconds=self._settings.stall_seconds,
        )


def draw(search_id: str) -> float:
    """A number from 0 to 1 that follows from a search's id alone, evenly spread."""
    digest = hashlib.blake2b(search_id.encode(), digest_size=8, person=b"canary").digest()
    return int.from_bytes(digest) / 2**64


def _answers(past: Sequence[TrialTold]) -> list[str]:
    """The keys of answers in the order of the log."""
    return [
        step.answer
        for told in past
        for candidate in told.expanded.candidates
        for step in candidate.steps
        if step.answer is not None
    ]
