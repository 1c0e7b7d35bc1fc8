"""Puts together what one search needs: clients, sandbox session, answers, driver."""

from collections.abc import Sequence

import grpc

from services.common import rpc
from services.common.grading.grader import Grader
from services.search.answer_book import AnswerBook
from services.search.clients.dependencies import Dependency, Monitor, grpc_health
from services.search.clients.policy import PolicyClient
from services.search.clients.ppm import PpmClient
from services.search.clients.sandbox import SandboxSession
from services.search.driver import Driver, Plan
from services.search.expander import Expander, Tools
from services.search.holder import Holder
from services.search.settings import SearchSettings
from services.search.store.events import Started, TrialTold
from services.search.store.journal import Journal
from services.search.store.lease import Lease
from services.search.store.searches import SearchStore


class Launcher:
    """Makes holders of searches; owns the channels to policy, sandbox and PPM."""

    def __init__(self, settings: SearchSettings, grader: Grader) -> None:
        self._settings = settings
        self._grader = grader
        self._policy_channel = rpc.channel(settings.policy_target)
        self._sandbox_channel = rpc.channel(settings.sandbox_target)
        self._ppm_channel = rpc.channel(settings.ppm_target) if settings.ppm_target else None
        self._policy = PolicyClient(
            self._policy_channel, patience_seconds=settings.patience_seconds
        )

    def dependencies(self) -> dict[str, Dependency]:
        """The services that searches depend on."""
        dependencies = {
            "policy": Dependency(grpc_health("policy", self._policy_channel)),
            "sandbox": Dependency(grpc_health("sandbox", self._sandbox_channel)),
        }
        if self._ppm_channel is not None:
            # Its process must be there to say whether it has a model: a search goes unguided
            # because none is published, never because the PPM was slow to answer.
            dependencies["ppm"] = Dependency(grpc_health("ppm", self._ppm_channel))
        return dependencies

    async def ppm_version(self) -> str | None:
        """The PPM that would guide a search; None where none is configured or published."""
        if self._ppm_channel is None:
            return None
        return await self._ppm(self._ppm_channel).version(self._settings.dependency_timeout_seconds)

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
        session = self._session(plan.search_id)
        journal = Journal(store, lease, patience_seconds=self._settings.stall_seconds)
        book = AnswerBook(self._grader)
        book.restore(_answers(past))
        guided = plan.ppm is not None and self._ppm_channel is not None
        ppm = self._ppm(self._ppm_channel) if guided and self._ppm_channel else None
        tools = Tools(self._policy, session, ppm, book)
        expander = Expander(plan.search_id, plan.request.problem, tools)
        driver = Driver(plan, expander, journal, monitor.stalled, past)
        return Holder(plan.search_id, driver, journal, session)

    async def close(self) -> None:
        """Give the channels back."""
        for channel in (self._policy_channel, self._sandbox_channel, self._ppm_channel):
            if channel is not None:
                await channel.close(None)

    def _plan(self, search_id: str, started: Started) -> Plan:
        return Plan(
            search_id=search_id,
            request=started.request,
            config=started.config,
            seed=started.seed,
            ppm=started.ppm,
            candidate_tokens=self._settings.candidate_tokens,
            stall_seconds=self._settings.stall_seconds,
        )

    def _ppm(self, channel: grpc.aio.Channel) -> PpmClient:
        return PpmClient(channel, patience_seconds=self._settings.patience_seconds)

    def _session(self, search_id: str) -> SandboxSession:
        return SandboxSession(
            self._sandbox_channel,
            search_id,
            patience_seconds=self._settings.patience_seconds,
            step_seconds=self._settings.step_seconds,
        )


def _answers(past: Sequence[TrialTold]) -> list[str]:
    """The keys of answers in the order of the log."""
    return [
        step.answer
        for told in past
        for candidate in told.expanded.candidates
        for step in candidate.steps
        if step.answer is not None
    ]
