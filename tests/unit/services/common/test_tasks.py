"""Tasks end, even those that lose a cancellation."""

import asyncio

from services.common import tasks


async def test_tasks_are_ended_however_they_end() -> None:
    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("at the end")

    both = [asyncio.create_task(asyncio.Event().wait()), asyncio.create_task(fail())]
    await asyncio.sleep(0)
    await tasks.end(*both)
    assert both[0].cancelled()
    assert isinstance(both[1].exception(), ValueError)
    await tasks.end(*both)


async def test_one_that_loses_a_cancellation_is_told_again() -> None:
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost:
                    raise
                lost += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await tasks.end(task)
    assert lost == 1
    assert task.cancelled()
