"""Logs, summaries and lists of searches, on one server and on a cluster."""

import asyncio
import json

import pytest

from services.search.budget import StopReason
from services.search.clients.dependencies import DependencyError
from services.search.forest import Forest
from services.search.schemas import Models, Usage
from services.search.solution import describe
from services.search.store import keys
from services.search.store.errors import LeaseLost, UnknownSearch
from services.search.store.events import Failed, Finished, LogError
from services.search.store.searches import SearchStore
from tests.integration.search.store.conftest import Replica, started, told
from tests.support.search_world import config

pytestmark = pytest.mark.asyncio(loop_scope="session")

Pair = tuple[Replica, Replica]


def finished(search_id: str, reason: StopReason = StopReason.ROLLOUTS) -> Finished:
    models = Models(policy="p", ppm=None)
    return Finished(describe(Forest(config()), search_id, reason, Usage(rollouts=3), models))


async def test_a_log_is_read_as_it_was_written(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    opening = started()
    lease = await first.store.create(search_id, opening)
    assert await first.store.append(lease, [told(0), told(1)]) == ["2-0", "3-0"]
    assert await first.store.append(lease, [finished(search_id)], last=True) == ["4-0"]
    entries = await second.store.entries(search_id)
    assert [entry.id for entry in entries] == ["1-0", "2-0", "3-0", "4-0"]
    assert entries[0].event == opening
    assert [entry.id for entry in await second.store.entries(search_id, "2-0", 1)] == ["3-0"]
    assert await second.store.entries("unknown") == []


async def test_an_append_is_one_round_trip(replicas: Pair) -> None:
    first, _ = replicas
    lease = await first.store.create(keys.new_id(), started())
    await first.store.append(lease, [told(0)])
    before = first.connection.round_trips
    for number in range(1, 6):
        await first.store.append(lease, [told(number)])
    assert first.connection.round_trips - before == 5


async def test_the_same_batch_is_not_written_twice(replicas: Pair) -> None:
    first, _ = replicas
    search_id = keys.new_id()
    lease = await first.store.create(search_id, started())
    assert await first.store.append(lease, [told(0)], batch="b") == ["2-0"]
    lease.seq = 1  # as if the reply had been lost
    assert await first.store.append(lease, [told(0)], batch="b") == ["2-0"]
    assert lease.seq == 2
    assert len(await first.store.entries(search_id)) == 2


async def test_the_end_is_written_after_a_write_whose_reply_was_lost(replicas: Pair) -> None:
    first, _ = replicas
    search_id = keys.new_id()
    lease = await first.store.create(search_id, started())
    await first.store.append(lease, [told(0)])
    lease.seq = 1
    await first.store.append(lease, [finished(search_id)], last=True)
    kinds = [type(entry.event).__name__ for entry in await first.store.entries(search_id)]
    assert kinds == ["Started", "TrialTold", "Finished"]


async def test_a_redis_that_lost_the_end_of_a_log_is_not_written_over(replicas: Pair) -> None:
    first, _ = replicas
    lease = await first.store.create(keys.new_id(), started())
    lease.seq = 5
    with pytest.raises(LeaseLost, match="lost the end"):
        await first.store.append(lease, [told(3)])


async def test_followers_of_a_log_that_became_shorter_are_told(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    lease = await first.store.create(search_id, started())
    await first.store.append(lease, [told(0), told(1)])

    async def follow(store: SearchStore) -> None:
        async for _ in store.follow(search_id):
            pass

    followers = [asyncio.create_task(follow(one.store)) for one in replicas]
    async with asyncio.timeout(20):
        while not all((tail := one.store.tails.get(search_id)) and tail.last for one in replicas):
            await asyncio.sleep(0.01)
    await second.store.drop_dead_tails()
    assert not any(one.done() for one in followers)
    # A Redis that came back without its last second.
    await first.connection.command("XDEL", keys.log(search_id), "3-0")
    await first.connection.command("HSET", keys.state(search_id), "seq", 2)
    with pytest.raises(LeaseLost):
        await first.store.append(lease, [told(2)])
    await second.store.drop_dead_tails()
    for follower in followers:
        with pytest.raises(DependencyError, match="lost the end"):
            await asyncio.wait_for(follower, 20)


async def test_an_ended_search_is_not_written_any_more(replicas: Pair) -> None:
    first, _ = replicas
    search_id = keys.new_id()
    lease = await first.store.create(search_id, started())
    await first.store.append(lease, [finished(search_id)], last=True)
    with pytest.raises(LeaseLost):
        await first.store.append(lease, [finished(search_id)], last=True)
    assert len(await first.store.entries(search_id)) == 2
    assert 0 < await first.connection.command("TTL", keys.log(search_id)) <= 60
    assert not await first.connection.command("EXISTS", keys.lease(search_id))


async def test_a_summary_tells_how_a_search_is(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    assert await second.store.summary(search_id) is None
    lease = await first.store.create(search_id, started(problem="x" * 300), key_id="k1")
    summary = await second.store.summary(search_id)
    assert summary is not None
    assert (summary.status, summary.problem, summary.key_id) == ("running", "x" * 200, "k1")
    assert (summary.answer, summary.ended, summary.replica) == (None, None, "first")
    await first.store.append(lease, [told(0, rollouts=4)])
    summary = await second.store.summary(search_id)
    assert summary is not None
    assert (summary.answer, summary.confidence, summary.usage.rollouts) == ("2", 0.75, 4)
    await first.store.append(lease, [Failed("policy", "down")], last=True)
    summary = await second.store.summary(search_id)
    assert summary is not None
    assert (summary.status, summary.failure) == ("failed", "policy: down")
    assert summary.ended is not None
    assert summary.ended >= summary.created > 0


async def test_pages_hold_each_search_once_the_newest_first(replicas: Pair) -> None:
    first, second = replicas
    key = f"key-{keys.new_id()}"
    ids = []
    for number in range(7):
        ids.append(keys.new_id())
        await asyncio.sleep(0.002)  # ids of one millisecond have no order of their own
        lease = await first.store.create(ids[-1], started(), key_id=key)
        if number % 2:
            reason = StopReason.CANCELLED if number == 3 else StopReason.TOKENS
            await first.store.append(lease, [finished(ids[-1], reason)], last=True)
    ids.reverse()
    assert await _all(second.store, key, 3) == ids
    assert await _all(second.store, key, 1, "finished") == [ids[1], ids[5]]
    assert await _all(second.store, key, 2, "cancelled") == [ids[3]]
    assert await _all(second.store, key, 2, "failed") == []
    assert (await second.store.page(limit=7)).items[0].search_id == ids[0]
    assert await _all(second.store, "nobody's", 2) == []


async def _all(store: SearchStore, key: str, limit: int, status: object = None) -> list[str]:
    found: list[str] = []
    before = None
    while True:
        page = await store.page(before, limit, status, owner_key=key)  # type: ignore[arg-type]
        found += [item.search_id for item in page.items]
        if page.next is None:
            return found
        before = page.next


async def test_followers_see_every_event_once_wherever_they_begin(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    lease = await first.store.create(search_id, started())

    async def numbers(store: SearchStore, after: str) -> list[int]:
        return [entry.number async for entry in store.follow(search_id, after)]

    reading = asyncio.create_task(_keep_reading(second.store))
    followers = [
        asyncio.create_task(numbers(replica.store, after))
        for replica in replicas
        for after in ("0", "1-0", "5-0", "999-0")
    ]
    for number in range(100):
        await first.store.append(lease, [told(number)])
    followers.append(asyncio.create_task(numbers(second.store, "40-0")))
    await first.store.append(lease, [finished(search_id)], last=True)
    results = await asyncio.wait_for(asyncio.gather(*followers), 20)
    reading.cancel()
    everything = list(range(1, 103))
    for result, start in zip(results, (0, 1, None, None, 0, 1, None, None, 40), strict=True):
        if start is not None:
            assert result == everything[start:]
        assert result == everything[-len(result) :]
    assert not first.store.tails.ids()
    assert not second.store.tails.ids()
    assert await numbers(second.store, "102-0") == []


async def _keep_reading(store: SearchStore) -> None:
    while True:
        await store.read_tails()
        await asyncio.sleep(0.01)


async def test_following_what_does_not_exist_is_refused(replicas: Pair) -> None:
    first, _ = replicas
    with pytest.raises(UnknownSearch):
        await anext(first.store.follow("unknown"))
    with pytest.raises(ValueError, match="no event id"):
        await anext(first.store.follow("unknown", "yesterday"))
    with pytest.raises(UnknownSearch):
        await first.store.request_cancel("unknown")


async def test_a_malformed_entry_ends_its_followers_by_name(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    await first.store.create(search_id, started())
    body = json.dumps({"no": "trial"})
    await first.connection.command(
        "XADD", keys.log(search_id), "2-0", "kind", "trial", "body", body
    )
    await first.connection.command("HSET", keys.state(search_id), "seq", 2)
    with pytest.raises(LogError, match="malformed trial event"):
        await anext(second.store.follow(search_id, "1-0"))
