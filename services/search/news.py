"""A search's log as its caller sees it: progress, then the solution."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.search.manager import Handle, Manager, failure
from services.search.schemas import Progress, Solution, Usage
from services.search.store.events import Event, Failed, Finished, TrialTold


def to_news(search_id: str, event: Event) -> Progress | Solution:
    """What an event tells the caller; raises what ended a search that failed."""
    match event:
        case TrialTold(progress=progress):
            return progress
        case Finished(solution=solution):
            return solution
        case Failed():
            raise failure(event)
    return Progress(search_id=search_id, answer=None, confidence=0.0, usage=Usage())


@contextlib.asynccontextmanager
async def stay_or_cancel(manager: Manager, handle: Handle) -> AsyncIterator[None]:
    """A caller's wait for a search: one who leaves early cancels it.

    Unless it has an Idempotency-Key, with which the caller, cut off perhaps, may come back for it.
    """
    try:
        yield
    except (GeneratorExit, asyncio.CancelledError):
        if not handle.keyed:
            await manager.cancel(handle.search_id)
        raise
