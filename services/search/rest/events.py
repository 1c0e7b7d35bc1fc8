"""A search's log as server-sent events: for its caller, and for whoever follows it."""

import contextlib
from collections.abc import AsyncGenerator

from services.common import tracing
from services.search.front import Front
from services.search.manager import DrainingError, failure
from services.search.narration import Brought
from services.search.news import to_news
from services.search.rest import problems, sse
from services.search.schemas import Problem, Progress
from services.search.store.entry import Entry
from services.search.store.events import Failed, Finished, Started, TrialTold
from services.search.views import FailedEvent, FinishedEvent


async def of_log(front: Front, search_id: str, after: int) -> AsyncGenerator[str, None]:
    """Every entry after a place in the log, each with what it changed, up to the log's last."""
    try:
        told = front.narrations.follow(front.manager, search_id, after)
        async with contextlib.aclosing(told) as entries:
            async for entry, brought in entries:
                yield sse.event(_name(entry), _data(search_id, entry, brought), entry.id)
    except DrainingError:
        # Whoever follows reconnects, to another replica, after the last id that it has seen.
        return
    except Exception as error:
        yield _error(error)


def _name(entry: Entry) -> str:
    match entry.event:
        case Started():
            return "started"
        case TrialTold():
            return "trial"
        case Finished():
            return "finished"
        case Failed():
            return "failed"


def _data(search_id: str, entry: Entry, brought: Brought) -> str:
    if brought is not None:
        return brought.model_dump_json()
    match entry.event:
        case Finished(solution=solution, at=at):
            finished = FinishedEvent(search_id=search_id, at=at, solution=solution)
            return finished.model_dump_json()
        case Failed(at=at) as event:
            failed = FailedEvent(search_id=search_id, at=at, error=_problem(event))
            return failed.model_dump_json(exclude_none=True)
    raise TypeError(f"an entry without data: {type(entry.event).__name__}")


def _problem(event: Failed) -> Problem:
    problem, _ = problems.from_error(failure(event))
    problem.trace_id = event.trace_id or None
    return problem


async def of_caller(front: Front, search_id: str) -> AsyncGenerator[str, None]:
    """For POST /solve: progress at once and after every trial, then the solution or an error."""
    try:
        async with contextlib.aclosing(front.manager.watch(search_id)) as entries:
            async for entry in entries:
                yield _told(search_id, entry)
    except Exception as error:
        yield _error(error)


def _told(search_id: str, entry: Entry) -> str:
    if isinstance(entry.event, Failed):
        problem = _problem(entry.event).model_dump_json(exclude_none=True)
        return sse.event("error", problem, entry.id)
    news = to_news(search_id, entry.event)
    name = "progress" if isinstance(news, Progress) else "solution"
    return sse.event(name, news.model_dump_json(), entry.id)


def _error(error: Exception) -> str:
    """An error of the stream itself: it has no id, since no log has it."""
    problem, _ = problems.from_error(error)
    problem.trace_id = tracing.trace_id() or None
    return sse.event("error", problem.model_dump_json(exclude_none=True))
