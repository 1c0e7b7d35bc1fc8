"""Replicas that are killed, stalled and stopped while they hold searches."""

import asyncio
import signal

import pytest

from services.search.store import keys
from tests.integration.search.chaos.conftest import Caller, check, ended
from tests.support.fleet import Fleet, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEARCHES = 20


async def test_searches_outlive_a_replica_that_is_killed(fleet: Fleet) -> None:
    first, second = fleet.replicas
    caller = Caller(first)
    await caller.ask(SEARCHES)
    before = {one: len(await fleet.store.entries(one)) for one in caller.ids}
    await first.kill()
    await caller.close()
    assert len(caller.ids) == SEARCHES
    going_on = caller.ids - caller.answered.keys()
    assert going_on, "it died with searches"
    # Whoever was cut off comes back, while the searches are being taken over.
    await asyncio.gather(*(caller.reconnect(second, one) for one in going_on))
    logs = await asyncio.gather(*(ended(fleet, one) for one in caller.ids))
    for search_id, log in zip(caller.ids, logs, strict=True):
        assert len(log) > before[search_id] or search_id in caller.answered
    for search_id, log in zip(caller.ids, logs, strict=True):
        assert caller.seen[search_id] == [entry.id for entry in log], (
            "nothing missed, nothing twice"
        )
        assert caller.answered[search_id] == check(log)
    await first.start()


async def test_a_replica_that_stalls_past_its_leases_is_fenced(fleet: Fleet) -> None:
    first, second = fleet.replicas
    caller = Caller(first)
    await caller.ask(4, rollouts=16)
    first.send(signal.SIGSTOP)
    try:
        client = fleet.store._redis._client

        async def all_taken() -> bool:
            tokens = [await client.hget(keys.state(one), "token") for one in caller.ids]
            return all(token == b"2" for token in tokens)

        await until(all_taken)
    finally:
        first.send(signal.SIGCONT)
    for log in await asyncio.gather(*(ended(fleet, one) for one in caller.ids)):
        check(log, rollouts=16)
    for one in caller.ids:
        summary = await fleet.store.summary(one)
        assert summary is not None
        assert summary.replica.split("-")[-2] == str(second.pid), "the second ended it"
    assert "search left to another replica" in first.said()
    # Callers of the one that was stopped hear the end all the same: it follows the other's log.
    await caller.close()
    assert caller.answered.keys() == caller.ids


async def test_a_replica_that_is_stopped_hands_its_searches_over(fleet: Fleet) -> None:
    first, _ = fleet.replicas
    caller = Caller(first)
    await caller.ask(6)
    first.send(signal.SIGTERM)
    assert await first.gone(15) == 0
    await caller.close()
    logs = await asyncio.gather(*(ended(fleet, one) for one in caller.ids))
    for log in logs:
        check(log)
    await first.start()


async def test_a_search_is_cancelled_from_any_replica(fleet: Fleet) -> None:
    first, _ = fleet.replicas
    caller = Caller(first)
    await caller.ask(1, rollouts=500)
    (search_id,) = caller.ids
    assert await fleet.store.request_cancel(search_id)
    log = await ended(fleet, search_id)
    assert log[-1].event.solution.stop_reason == "cancelled"  # type: ignore[union-attr]  # fails
    await caller.close()
    assert not await fleet.store.request_cancel(search_id), "it has ended"
