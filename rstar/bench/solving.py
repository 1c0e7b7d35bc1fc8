"""Many problems at once over the REST API, and what came of each."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

_GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one POST /solve gave.

    Attributes:
        nodes: of its tree; 0 where it failed.
        tokens: new tokens of the policy.
        seconds: until the answer was there.
        fault: why it failed; empty otherwise.
        answered: whether the search found an answer.
    """

    nodes: int
    tokens: int
    seconds: float
    fault: str = ""
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """What a round of problems gave."""

    outcomes: Sequence[Outcome]
    seconds: float

    @property
    def nodes(self) -> int:
        """Nodes of all trees."""
        return sum(one.nodes for one in self.outcomes)

    @property
    def tokens(self) -> int:
        """New tokens of all searches."""
        return sum(one.tokens for one in self.outcomes)

    @property
    def nodes_per_second(self) -> float:
        """Nodes of all trees over the time from the first request to the last answer."""
        return self.nodes / self.seconds

    @property
    def answered(self) -> int:
        """Searches that found an answer."""
        return sum(one.answered for one in self.outcomes)

    @property
    def faults(self) -> list[str]:
        """Why searches failed, one line each."""
        return [one.fault for one in self.outcomes if one.fault]

    def quantile(self, percent: int) -> float:
        """Seconds of a request at a percentile, 1 to 99."""
        seconds = [one.seconds for one in self.outcomes]
        if len(seconds) == 1:
            return seconds[0]
        return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


async def solve_all(url: str, bodies: Sequence[dict[str, Any]], *, seconds: float) -> Load:
    """Send all requests at once and wait for all answers, each at most `seconds` and a grace."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    timeout = httpx.Timeout(seconds + _GRACE_SECONDS)
    begun = time.perf_counter()
    async with httpx.AsyncClient(
        base_url=url, timeout=timeout, limits=limits, trust_env=False
    ) as client:
        outcomes = await asyncio.gather(*(_solve(client, body) for body in bodies))
    return Load(outcomes, time.perf_counter() - begun)


async def _solve(client: httpx.AsyncClient, body: dict[str, Any]) -> Outcome:
    begun = time.perf_counter()
    try:
        reply = await client.post("/solve", json=body)
    except httpx.HTTPError as error:
        return Outcome(0, 0, time.perf_counter() - begun, f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - begun
    if reply.status_code != httpx.codes.OK:
        return Outcome(0, 0, seconds, f"{reply.status_code}: {reply.text[:200]}")
    usage = reply.json()["usage"]
    answered = reply.json()["answer"] is not None
    return Outcome(usage["nodes"], usage["policy_tokens"], seconds, answered=answered)
