"""Two replicas of the search over real services, all of them processes that may be killed."""

import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest_asyncio

from services.common import rpc
from services.common.pb.sandbox.v1 import sandbox_pb2, sandbox_pb2_grpc
from services.search.forest import Forest
from services.search.schemas import Solution
from services.search.store import keys
from services.search.store.entry import Entry
from services.search.store.events import Failed, Finished, Started, TrialTold
from tests.support.fleet import Fleet, Replica, running, until

LEASE_SECONDS = 1.0


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fleet() -> AsyncIterator[Fleet]:
    """The processes; a test leaves them running, with nothing to do."""
    with tempfile.TemporaryDirectory(prefix="rstar-") as folder:
        async with running(
            Path(folder),
            think_seconds=0.08,
            lease_seconds=LEASE_SECONDS,
            adoption_seconds=0.3,
            stall_seconds=20,
            drain_seconds=3,
        ) as started:
            yield started
            await nothing_is_left(started)


@dataclass
class Caller:
    """Callers of one replica, whose connections may break.

    Attributes:
        ids: the searches that have begun, in no particular order.
        seen: the ids of the events that arrived, by search, as they arrived.
        answered: the solutions that arrived.
    """

    replica: Replica
    ids: set[str] = field(default_factory=set)
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[str, Solution] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def ask(self, count: int, rollouts: int = 10) -> None:
        """Begin so many searches and return when each has a trial in its log."""
        self._tasks += [asyncio.create_task(self._solve(rollouts)) for _ in range(count)]
        wanted = len(self._tasks)

        async def all_begun() -> bool:
            return len(self.ids) == wanted

        await until(all_begun)

    async def _solve(self, rollouts: int) -> None:
        body = {
            "problem": "How much is 1 + 1?",
            "budget": {"rollouts": rollouts, "tokens": 100_000, "seconds": 100},
            # The best answer is open until the last rollout: no search ends early.
            "search": {"candidates": 2, "parallel": 2, "answer": "best"},
            "stream": True,
        }
        try:
            async with (
                httpx.AsyncClient(timeout=60) as client,
                client.stream("POST", f"{self.replica.url}/solve", json=body) as reply,
            ):
                async for message in _messages(reply):
                    self._hear(message)
        except httpx.HTTPError:
            return  # the replica was killed; the search goes on

    def _hear(self, message: dict[str, str]) -> None:
        data = json.loads(message["data"])
        if "id" in message:
            self.seen[data["search_id"]].append(message["id"])
        if message["event"] == "solution":
            solution = Solution.model_validate(data)
            self.answered[solution.search_id] = solution
        elif message["event"] == "progress" and data["usage"]["rollouts"]:
            self.ids.add(data["search_id"])

    async def reconnect(self, replica: Replica, search_id: str) -> None:
        """Follow a search to its end on another replica, from the last event that was seen."""
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream(
                "GET",
                f"{replica.url}/searches/{search_id}/events",
                headers={"Last-Event-ID": self.seen[search_id][-1]},
            ) as reply,
        ):
            assert reply.status_code == 200
            async for message in _messages(reply):
                self.seen[search_id].append(message["id"])
                if message["event"] == "finished":
                    solution = Solution.model_validate(json.loads(message["data"])["solution"])
                    self.answered[search_id] = solution

    async def close(self) -> None:
        """Wait until the last caller is gone."""
        await asyncio.gather(*self._tasks)


async def _messages(reply: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Server-sent events, by field."""
    message: dict[str, str] = {}
    async for line in reply.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            message[name] = value
        elif "data" in message:
            yield message
            message = {}


async def ended(fleet: Fleet, search_id: str, seconds: float = 60.0) -> list[Entry]:
    """The log of a search, followed from its beginning to its end."""
    async with asyncio.timeout(seconds):
        reading = asyncio.create_task(_read_tails(fleet))
        try:
            return [entry async for entry in fleet.store.follow(search_id)]
        finally:
            reading.cancel()


async def _read_tails(fleet: Fleet) -> None:
    while True:
        await fleet.store.read_tails()
        await asyncio.sleep(0.1)


def check(log: list[Entry], rollouts: int = 10) -> Solution:
    """What must hold for every log that has ended; its solution."""
    assert [entry.number for entry in log] == list(range(1, len(log) + 1)), "no gap"
    started, *trials, last = [entry.event for entry in log]
    assert isinstance(started, Started)
    assert isinstance(last, Finished), last
    assert not [e for e in trials if isinstance(e, Finished | Failed)], "it answers once"
    told = [event for event in trials if isinstance(event, TrialTold)]
    assert len(told) == len(trials)
    numbers = [event.expanded.trial for event in told]
    assert len(set(numbers)) == len(numbers), "each trial once"
    forest = Forest.replay(started.config, [event.expanded for event in told])
    solution = last.solution
    assert solution.stop_reason == "rollouts", solution.stop_reason
    assert forest.rollouts == solution.usage.rollouts
    assert forest.rollouts >= rollouts
    assert solution.usage.nodes == forest.size
    # Tokens of a trial under way when its replica died are spent, but in no log.
    assert solution.usage.policy_tokens >= sum(event.usage.policy_tokens for event in told)
    answers = {one.answer for one in solution.alternatives}
    assert solution.answer in answers
    assert answers <= {"2", "2.0", "4/2", "3"}
    assert len(answers - {"3"}) <= 1, "equal answers are one"
    progress = [event.progress.usage.rollouts for event in told]
    assert progress == sorted(progress), "no logged rollout is lost"
    return solution


async def nothing_is_left(fleet: Fleet) -> None:
    """No lease, no open search, no sandbox session."""
    await no_key_is_left(fleet)
    async with rpc.channel(fleet.targets["sandbox"]) as channel:
        stub = sandbox_pb2_grpc.SandboxServiceStub(channel)
        names = [f"left-{number}" for number in range(fleet.max_sessions)]
        for name in names:  # as many as fit, so none was left
            await stub.OpenSession(sandbox_pb2.OpenSessionRequest(session_id=name), timeout=10)
        for name in names:
            await stub.CloseSession(sandbox_pb2.CloseSessionRequest(session_id=name), timeout=10)


async def no_key_is_left(fleet: Fleet) -> None:
    """No lease, no open search, and all else expires."""
    client = fleet.store._redis._client

    async def none_is_open() -> bool:
        return not await client.zcard(keys.OPEN)

    await until(none_is_open)
    assert not [key async for key in client.scan_iter(match="rstar:search:*:lease")]
    async for key in client.scan_iter(match="rstar:search:*"):
        assert await client.ttl(key) > 0, key
