"""The policy client: what was drawn stays, only the rest is asked for again, places come back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import grpc
import pytest

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.search.clients import policy
from services.search.clients.dependencies import DependencyError
from services.search.clients.policy import PolicyClient, Sampling
from services.search.clients.replicas import Replicas
from tests.support.scripted import ScriptedPolicy, serving, solution

SAMPLING = Sampling(temperature=0.8, max_tokens=64, seed=100, max_steps=0)
Reply = Callable[
    [policy_pb2.ProposeRequest, int], policy_pb2.ProposeResponse | rpc.StatusError | None
]


@contextlib.asynccontextmanager
async def connected(
    reply: Reply, max_in_flight: int = 64
) -> AsyncIterator[tuple[ScriptedPolicy, Replicas, PolicyClient]]:
    """A client of a scripted policy."""
    scripted = ScriptedPolicy(reply, max_in_flight=max_in_flight)
    add = policy_pb2_grpc.add_PolicyServiceServicer_to_server
    async with serving(add, scripted) as target:
        replicas = Replicas("policy", target, policy.ASSUMED, policy.learn, check_seconds=10)
        await replicas.check()
        try:
            yield scripted, replicas, PolicyClient(replicas, patience_seconds=5)
        finally:
            await replicas.close()


async def draw(client: PolicyClient, count: int, search_id: str = "s") -> dict[int, str]:
    """The texts of candidates by index."""
    drawn: dict[int, str] = {}

    def on_candidate(candidate: policy_pb2.ProposeResponse) -> None:
        assert candidate.index not in drawn
        drawn[candidate.index] = candidate.steps[0].text

    await client.propose(search_id, "What?", [], count, SAMPLING, on_candidate, timeout_seconds=20)
    return drawn


def by_seed(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """A candidate that tells its seed."""
    return solution(f"# {request.sampling.seed + index}")


async def test_the_gate_is_as_wide_as_the_policy_says() -> None:
    async with connected(by_seed, max_in_flight=24) as (_, replicas, _client):
        assert replicas.gate.share.places == 24


async def test_a_stream_that_breaks_keeps_what_came_and_only_the_rest_is_asked_again() -> None:
    broken: list[int] = []

    def reply(
        request: policy_pb2.ProposeRequest, index: int
    ) -> policy_pb2.ProposeResponse | rpc.StatusError:
        if not broken and index == 3:
            broken.append(index)
            return rpc.StatusError(grpc.StatusCode.UNAVAILABLE, "cut")
        return by_seed(request, index)

    async with connected(reply) as (scripted, replicas, client):
        drawn = await draw(client, 8)
        assert drawn == {i: f"# {100 + i}" for i in range(8)}
        asked = [(one.count, one.sampling.seed) for one in scripted.requests]
        assert asked == [(8, 100), (5, 103)]
        assert replicas.gate.share.in_use == 0


async def test_more_candidates_than_places_are_drawn_in_parts_with_the_same_seeds() -> None:
    async with connected(by_seed, max_in_flight=16) as (scripted, replicas, client):
        drawn = await asyncio.gather(draw(client, 64, "a"), draw(client, 64, "b"))
        assert drawn == [{i: f"# {100 + i}" for i in range(64)}] * 2
        assert sum(one.count for one in scripted.requests) == 128
        assert max(one.count for one in scripted.requests) <= 16
        assert replicas.gate.share.in_use == 0


async def test_a_small_search_is_served_beside_a_large_one_that_holds_every_place() -> None:
    async def settled(client: PolicyClient, replicas: Replicas) -> None:
        large = [asyncio.create_task(draw(client, 16, "large")) for _ in range(20)]
        while replicas.gate.share.waiting < 10:
            await asyncio.sleep(0.001)
        assert len(await draw(client, 2, "small")) == 2
        assert sum(not task.done() for task in large) > 10
        await asyncio.gather(*large)

    async with connected(by_seed, max_in_flight=8) as (_, replicas, client):
        await asyncio.wait_for(settled(client, replicas), 20)


async def test_a_call_that_is_left_gives_all_its_places_back_at_once() -> None:
    async with connected(lambda request, index: None, max_in_flight=8) as (
        scripted,
        replicas,
        client,
    ):
        calls = [asyncio.create_task(draw(client, 12, key)) for key in "abc"]
        while not scripted.open_calls:
            await asyncio.sleep(0.001)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (replicas.gate.share.in_use, replicas.gate.share.waiting) == (0, 0)
        async with asyncio.timeout(10):
            while scripted.open_calls:
                await asyncio.sleep(0.001)


async def test_a_policy_that_fails_for_good_is_named_and_leaves_no_place_behind() -> None:
    failure = rpc.StatusError(grpc.StatusCode.INTERNAL, "broken")
    async with connected(lambda request, index: failure, max_in_flight=8) as (_, replicas, client):
        with pytest.raises(DependencyError, match="policy: broken"):
            await draw(client, 32)
        assert replicas.gate.share.in_use == 0
        assert all(one.load == 0 for one in replicas.endpoints.values())


async def test_candidates_that_are_finished_together_come_in_one_message() -> None:
    add = policy_pb2_grpc.add_PolicyServiceServicer_to_server
    async with serving(add, ScriptedPolicy(by_seed)) as target, rpc.channel(target) as channel:
        stub = policy_pb2_grpc.PolicyServiceStub(channel)
        sampling = policy_pb2.Sampling(seed=100)
        for takes_more, sizes in ((True, [5]), (False, [1] * 5)):
            request = policy_pb2.ProposeRequest(count=5, sampling=sampling, takes_more=takes_more)
            messages = [message async for message in stub.Propose(request)]
            assert [1 + len(message.more) for message in messages] == sizes
