"""Waiting for places: cancelled waiters leave nothing behind."""

import asyncio

from services.search.clients.gate import Gate


async def test_places_are_waited_for_and_given_on() -> None:
    gate = Gate("policy", 2)
    assert await gate.enter("a", 2) == 2
    waiting = asyncio.create_task(gate.enter("b", 1))
    await asyncio.sleep(0)
    assert gate.share.waiting == 1
    gate.leave("a", 1)
    assert await waiting == 1
    gate.leave("a")
    gate.leave("b")
    assert gate.share.in_use == 0


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    gate = Gate("policy", 1)
    await gate.enter("a")
    first, second = (asyncio.create_task(gate.enter(key)) for key in "bc")
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert gate.share.waiting == 1
    gate.leave("a")
    assert await second == 1


async def test_a_waiter_that_is_cancelled_as_it_is_served_gives_its_place_on() -> None:
    gate = Gate("policy", 1)
    await gate.enter("a")
    first, second = (asyncio.create_task(gate.enter(key)) for key in "bc")
    await asyncio.sleep(0)
    gate.leave("a")
    first.cancel()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] == 1
    gate.leave("c")
    assert gate.share.in_use == 0


async def test_more_places_wake_those_who_wait() -> None:
    gate = Gate("policy", 1)
    await gate.enter("a")
    waiting = [asyncio.create_task(gate.enter(key)) for key in "bcd"]
    await asyncio.sleep(0)
    gate.resize(4)
    assert await asyncio.gather(*waiting) == [1, 1, 1]
