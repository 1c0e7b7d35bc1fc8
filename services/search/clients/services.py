"""The services that searches call, as this process is set up to reach them."""

import asyncio

from services.search import metrics
from services.search.clients import policy, ppm, sandbox
from services.search.clients.breaker import Circuit
from services.search.clients.dependencies import Dependency
from services.search.clients.policy import PolicyClient
from services.search.clients.ppm import PpmClient
from services.search.clients.replicas import Learn, Limits, Replicas
from services.search.clients.sandbox import SandboxSession
from services.search.settings import SearchSettings


class Services:
    """Policy, PPM and sandbox; the channels are closed by `close`.

    Attributes:
        policy: client of the policy.
        ppm: client of the PPM; None where none is configured.
    """

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        patience = settings.patience_seconds
        self._policy = self._replicas("policy", policy.ASSUMED, policy.learn)
        self._sandbox = self._replicas("sandbox", sandbox.ASSUMED, sandbox.learn)
        self._ppm = self._replicas("ppm", ppm.ASSUMED, ppm.learn) if settings.ppm_target else None
        self.policy = PolicyClient(self._policy, patience_seconds=patience)
        self.ppm = PpmClient(self._ppm, patience_seconds=patience) if self._ppm else None

    def _replicas(self, name: str, assumed: Limits, learn: Learn) -> Replicas:
        target: str = getattr(self._settings, f"{name}_target")
        seconds = self._settings.dependency_timeout_seconds
        replicas = Replicas(
            name, target, assumed, learn, check_seconds=seconds, tls=self._settings.channel_tls
        )
        _meter(replicas)
        return replicas

    def sandbox_session(self, search_id: str, *, adopted: bool = False) -> SandboxSession:
        """The sandbox session of a search, not yet open by this process."""
        return SandboxSession(
            self._sandbox,
            search_id,
            patience_seconds=self._settings.patience_seconds,
            step_seconds=self._settings.step_seconds,
            adopted=adopted,
        )

    def dependencies(self) -> dict[str, Dependency]:
        """What to watch.

        The PPM's process must be there to say whether it has a model: a search goes unguided
        because none is published, never because the PPM was slow to answer.
        """
        return {
            one.name: Dependency(one.check, circuits=one.circuits)
            for one in (self._policy, self._sandbox, self._ppm)
            if one is not None
        }

    async def close(self) -> None:
        """Close all channels."""
        known = (self._policy, self._sandbox, self._ppm)
        await asyncio.gather(*(one.close() for one in known if one is not None))


def _meter(replicas: Replicas) -> None:
    """Let the metrics read, whenever they are asked for, how it stands with a service."""
    share = replicas.gate.share
    metrics.IN_FLIGHT.labels(replicas.name).set_function(lambda: share.in_use)
    metrics.WAITING.labels(replicas.name).set_function(lambda: share.waiting)
    metrics.CIRCUITS.labels(replicas.name).set_function(
        lambda: sum(state != Circuit.CLOSED for state in replicas.circuits().values())
    )
