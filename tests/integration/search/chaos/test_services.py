"""Services that are killed, stopped, slow or cut off while searches need them."""

import asyncio
import signal

import pytest

from tests.integration.search.chaos.conftest import Caller, check, ended
from tests.support.fleet import Child, Fleet

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEARCHES = 4


async def all_answered(fleet: Fleet, caller: Caller, rollouts: int = 12) -> None:
    """Every caller has an answer on the connection that it opened, and every log is whole."""
    await caller.close()
    assert caller.answered.keys() == caller.ids
    for log in await asyncio.gather(*(ended(fleet, one) for one in caller.ids)):
        solution = check(log, rollouts)
        assert caller.answered[solution.search_id] == solution


@pytest.mark.parametrize("name", ["policy", "ppm", "sandbox", "redis"])
async def test_a_service_that_is_killed_and_comes_back_costs_no_search(
    fleet: Fleet, name: str
) -> None:
    caller = Caller(fleet.replicas[1])
    await caller.ask(SEARCHES, rollouts=12)
    child = getattr(fleet, name)
    await child.kill()
    await child.start()
    await all_answered(fleet, caller)


async def test_services_that_stand_still_for_a_while_cost_no_search(fleet: Fleet) -> None:
    async def stand_still(child: Child, after: float) -> None:
        await asyncio.sleep(after)
        child.send(signal.SIGSTOP)
        try:
            # Longer than a lease, and than a health check may take.
            await asyncio.sleep(2.5)
        finally:
            child.send(signal.SIGCONT)

    caller = Caller(fleet.replicas[1])
    await caller.ask(SEARCHES, rollouts=24)
    # Each with the others running, and with them standing still as well.
    children = (fleet.policy, fleet.ppm, fleet.sandbox, fleet.redis)
    await asyncio.gather(
        *(stand_still(child, 0.5 * number) for number, child in enumerate(children))
    )
    await all_answered(fleet, caller, rollouts=24)


async def test_a_redis_that_refuses_writes_for_a_while_costs_no_search(fleet: Fleet) -> None:
    client = fleet.store._redis._client
    caller = Caller(fleet.replicas[1])
    await caller.ask(SEARCHES, rollouts=12)
    await client.config_set("maxmemory", 1)
    try:
        await asyncio.sleep(1.5)
        assert "log not written yet" in fleet.replicas[1].said()
    finally:
        await client.config_set("maxmemory", 0)
    await all_answered(fleet, caller)


async def test_connections_that_are_cut_cost_no_search(fleet: Fleet) -> None:
    caller = Caller(fleet.replicas[1])
    await caller.ask(SEARCHES, rollouts=12)
    before = sum(proxy.cuts for proxy in fleet.proxies.values())
    for _ in range(8):
        for proxy in fleet.proxies.values():
            proxy.cut()
        await asyncio.sleep(0.1)
    assert sum(proxy.cuts for proxy in fleet.proxies.values()) > before
    await all_answered(fleet, caller)


async def test_a_reply_that_is_lost_is_not_written_twice(fleet: Fleet) -> None:
    caller = Caller(fleet.replicas[1])
    await caller.ask(SEARCHES, rollouts=12)
    redis = fleet.proxies["redis"]
    redis.lost_replies = 10
    await all_answered(fleet, caller)
    assert redis.lost_replies == 0
