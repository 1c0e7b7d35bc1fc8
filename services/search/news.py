"""A search's log as its caller sees it: progress, then the solution."""

from services.search.manager import failure
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
