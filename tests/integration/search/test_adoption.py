"""Searches that go on in another manager: handed over, orphaned, poisoned, malformed."""

import asyncio
import json

import grpc
import pytest

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2
from services.search.clients.dependencies import DependencyError
from services.search.manager import DrainingError, SearchFailed
from services.search.schemas import SolveRequest
from services.search.store import keys
from services.search.store.claims import ClaimConflict
from services.search.store.connection import Connection
from services.search.store.events import Failed, Finished, TrialTold, encode
from services.search.store.leases import Leases
from services.search.store.searches import SearchStore
from services.search.store.summary import Summary
from tests.integration.search.conftest import Rig, StartRig, until
from tests.integration.search.store.conftest import started, told
from tests.support.scripted import solution

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = {"lease_seconds": 0.5, "adoption_seconds": 0.1}


def request(**fields: object) -> SolveRequest:
    """A search of step after step that only its rollouts end."""
    body = {
        "problem": "What is 1 + 1?",
        "budget": {"rollouts": 6, "tokens": 100_000},
        "search": {"candidates": 2, "parallel": 1, "answer": "best", "seed": 3},
    }
    return SolveRequest.model_validate(body | fields)


def reply(asked: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """Two steps, no two alike."""
    number = asked.sampling.seed + index
    steps = [f"# Step {len(asked.steps) + 1}: {number}\nprint {number % 2}"]
    return solution(*([] if asked.steps else [f"# Step 1: {number}\nx = 1"]), *steps)


async def orphan(
    one: Rig,
    *,
    trials: int = 2,
    handed: bool = False,
    stray: tuple[str, bytes] | None = None,
    instead: str = "",
) -> str:
    """A search that a replica which is gone has begun, and its id.

    Args:
        one: whose Redis it is in.
        trials: how many it has logged.
        handed: whether it was handed over, rather than just left.
        stray: kind and body of an entry that is in its log besides.
        instead: body of the one entry that its log has in place of all others.
    """
    # Nobody takes it before it is whole, however slow the machine is.
    lease_seconds = 60 if handed else 0.5
    connection = Connection(one.settings.redis_url, timeout_seconds=5)
    store = SearchStore(
        connection, replica="gone", lease_seconds=lease_seconds, retention_seconds=60
    )
    search_id = keys.new_id()
    lease = await store.create(search_id, started(**request().model_dump(exclude={"problem"})))
    for number in range(trials):
        await store.append(lease, [told(number, rollouts=number + 1)])
    if stray is not None:
        kind, body = stray
        await connection.command("XADD", keys.log(search_id), "*", "kind", kind, "body", body)
        await connection.command("HINCRBY", keys.state(search_id), "seq", 1)
    if instead:
        log = keys.log(search_id)
        await connection.command("DEL", log)
        await connection.command("XADD", log, "1-0", "kind", "started", "body", instead)
    if handed:
        await Leases(connection, store, lease_seconds=lease_seconds).release([lease])
    await connection.close()
    return search_id


async def test_a_search_goes_on_from_its_log(rig: StartRig) -> None:
    async with rig(**QUICK) as one:
        one.policy.reply = reply
        search_id = await orphan(one)
        result = await asyncio.wait_for(one.manager.wait(search_id), 20)
        assert result.usage.rollouts == 6
        log = await one.events(search_id)
        trials = [event.expanded.trial for event in log if isinstance(event, TrialTold)]
        assert trials == list(range(len(trials))), "each trial once, the first two as they were"
        assert isinstance(log[-1], Finished)
        # What was spent before counts: two trials of ten tokens each.
        spent = sum(event.usage.policy_tokens for event in log if isinstance(event, TrialTold))
        assert result.usage.policy_tokens == spent
        await until(lambda: not one.sandbox.sessions)


async def test_a_search_that_stops_with_its_manager_goes_on_in_the_next(rig: StartRig) -> None:
    async with rig(**QUICK) as one:
        one.policy.reply = lambda asked, index: reply(asked, index) if not asked.steps else None
        handle = await one.manager.begin(request())
        await until(lambda: one.policy.open_calls == 1 and len(one.policy.requests) > 1)
        waiting = asyncio.create_task(one.manager.wait(handle.search_id))
        await asyncio.sleep(0)
        await one.manager.drain(0.2)
        with pytest.raises(DrainingError) as refused:
            await waiting
        assert refused.value.search_id == handle.search_id
        with pytest.raises(DrainingError):
            await one.manager.begin(request())
        assert (await one.client.get("/ready")).status_code == 503
        assert one.policy.open_calls == 0
        summary = await one.manager.store.summary(handle.search_id)
        assert summary is not None
        assert summary.status == "running"
    async with rig(**QUICK) as next_one:
        next_one.policy.reply = reply
        result = await asyncio.wait_for(next_one.manager.wait(handle.search_id), 20)
        assert result.usage.rollouts == 6


async def test_a_search_that_logs_nothing_is_given_up(rig: StartRig) -> None:
    async with rig(**QUICK, max_adoptions=2) as one:
        search_id = await orphan(one, trials=0)
        one.sandbox.sessions.add(search_id)
        await one.manager.store._redis.command("HSET", keys.state(search_id), "adoptions", 2)
        with pytest.raises(SearchFailed, match="2 replicas took it over"):
            await asyncio.wait_for(one.manager.wait(search_id), 20)
        assert one.policy.requests == []
        await until(lambda: search_id not in one.sandbox.sessions)


async def test_a_malformed_search_keeps_no_other_from_being_adopted(rig: StartRig) -> None:
    broken = [
        ("trial", b'{"not": "a trial"}'),
        ("finished", b"\xff\xfe"),
        ("started", b"{}"),
        ("", b""),
        ("trial", b'{"expanded": null}'),
        # What can be read, but makes no tree.
        ("trial", encode(told(9))[1].replace(b'"root"', b'"no such node"')),
    ]
    async with rig(**QUICK) as one:
        one.policy.reply = reply
        bad = [await orphan(one, handed=True, stray=stray) for stray in broken]
        good = await orphan(one, handed=True)
        result = await asyncio.wait_for(one.manager.wait(good), 20)
        assert result.usage.rollouts == 6
        for search_id in bad:
            summary = await _ended(one, search_id)
            assert summary.status == "failed"
            assert "its log cannot be re" in (summary.failure or "")
        # What a renewal listed again while a search ended is dropped at the next look.
        async with asyncio.timeout(20):
            for search_id in (*bad, good):
                while await one.manager.store._redis.command("ZSCORE", keys.OPEN, search_id):
                    await asyncio.sleep(0.05)
        assert one.manager.store.held == {}


async def _ended(one: Rig, search_id: str) -> Summary:
    async with asyncio.timeout(20):
        while True:
            summary = await one.manager.store.summary(search_id)
            assert summary is not None
            if summary.status != "running":
                return summary
            await asyncio.sleep(0.05)


async def test_a_search_of_a_newer_version_is_left_to_it(rig: StartRig) -> None:
    async with rig(**QUICK) as one:
        one.policy.reply = reply
        body = json.dumps({"schema": 3, "anything": "else"})
        newer = await orphan(one, trials=0, handed=True, instead=body)
        redis = one.manager.store._redis
        good = await orphan(one, handed=True)
        await asyncio.wait_for(one.manager.wait(good), 20)
        summary = await one.manager.store.summary(newer)
        assert summary is not None
        assert summary.status == "running"
        assert await redis.command("ZSCORE", keys.OPEN, newer) is not None
        await redis.command("ZREM", keys.OPEN, newer)


async def test_an_idempotency_key_gets_the_search_that_it_began(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = reply
        name = keys.new_id()
        first, second = await asyncio.gather(
            *(one.manager.begin(request(), idempotency_key=name) for _ in range(2))
        )
        assert first.search_id == second.search_id
        assert {first.is_new, second.is_new} == {True, False}
        with pytest.raises(ClaimConflict):
            await one.manager.begin(request(problem="Another?"), idempotency_key=name)
        result = await one.manager.wait(first.search_id)
        assert (await one.manager.begin(request(), idempotency_key=name)).search_id == (
            result.search_id
        )
        assert await one.manager.wait(result.search_id) == result


async def test_a_key_whose_request_was_refused_may_be_used_again(rig: StartRig) -> None:
    name = keys.new_id()
    async with rig(policy_target="127.0.0.1:1") as one:
        with pytest.raises(DependencyError, match="policy"):
            await one.manager.begin(request(), idempotency_key=name)
    async with rig() as one:
        one.policy.reply = reply
        handle = await one.manager.begin(request(), idempotency_key=name)
        assert handle.is_new
        assert (await one.manager.wait(handle.search_id)).answer is not None


async def test_a_search_whose_policy_never_comes_back_fails_by_its_name(rig: StartRig) -> None:
    async with rig(stall_seconds=0.5, patience_seconds=0.1) as one:
        one.policy.reply = lambda asked, index: rpc.StatusError(
            grpc.StatusCode.UNAVAILABLE, "gone for good"
        )
        handle = await one.manager.begin(request())
        with pytest.raises(DependencyError, match=r"^policy: "):
            await asyncio.wait_for(one.manager.wait(handle.search_id), 20)
        last = (await one.events(handle.search_id))[-1]
        assert isinstance(last, Failed)
        assert last.cause == "policy"
