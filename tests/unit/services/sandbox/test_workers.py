import asyncio

import pytest

from services.sandbox.workers import QueueFull, Workers


async def test_no_more_than_count_work_at_once():
    workers, working, most = Workers(2, 10), 0, 0

    async def work():
        nonlocal working, most
        async with workers.one():
            working += 1
            most = max(most, working)
            await asyncio.sleep(0)
            working -= 1

    await asyncio.gather(*(work() for _ in range(8)))
    assert most == 2


async def test_a_full_queue_refuses_at_once():
    workers, release = Workers(1, 1), asyncio.Event()

    async def work():
        async with workers.one():
            await release.wait()

    tasks = [asyncio.create_task(work()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await work()
    release.set()
    await asyncio.gather(*tasks)
    await work()


async def test_who_leaves_the_queue_makes_room():
    workers, release = Workers(1, 1), asyncio.Event()

    async def work():
        async with workers.one():
            await release.wait()

    first, second = (asyncio.create_task(work()) for _ in range(2))
    await asyncio.sleep(0)
    assert workers.waiting == 1
    second.cancel()
    await asyncio.wait({second})
    assert workers.waiting == 0
    release.set()
    await first
