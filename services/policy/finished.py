"""Results of several pieces of work in the order in which they finish."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def as_finished(
    works: Iterable[Coroutine[Any, Any, Result]],
) -> AsyncGenerator[list[Result], None]:
    """Run all at once; yield results in the order in which they finish.

    Those that are finished by the time that they are asked for come together. What finished before
    a failure is yielded before it is raised. Leaving the iteration, or cancelling it, cancels what
    is left.
    """
    tasks = [asyncio.create_task(work) for work in works]
    finished: asyncio.Queue[asyncio.Task[Result]] = asyncio.Queue()
    for task in tasks:
        task.add_done_callback(finished.put_nowait)
    missing = len(tasks)
    try:
        while missing:
            done = [await finished.get()]
            while not finished.empty():
                done.append(finished.get_nowait())
            missing -= len(done)
            good = list(itertools.takewhile(lambda task: task.exception() is None, done))
            if good:
                yield [task.result() for task in good]
            if len(good) < len(done):
                done[len(good)].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
