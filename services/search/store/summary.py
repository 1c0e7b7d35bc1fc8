"""What lists of searches show of each; kept beside its log as a hash."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import ValidationError

from services.search.schemas import Usage
from services.search.store.events import Event, Failed, Finished, Started, TrialTold

Status = Literal["running", "finished", "failed", "cancelled"]

_STATUSES: Mapping[str, Status] = {status: status for status in get_args(Status)}

FIELDS = (
    "status",
    "created",
    "ended",
    "problem",
    "method",
    "answer",
    "confidence",
    "stop_reason",
    "usage",
    "key_id",
    "replica",
    "failure",
)
_PROBLEM_CHARS = 200


@dataclass(frozen=True, slots=True)
class Summary:
    """A search at a glance.

    Attributes:
        search_id: its id.
        status: `cancelled` is an end by its caller's wish, with what was found by then.
        created: unix seconds.
        ended: unix seconds; None while it runs.
        problem: the first 200 characters of it.
        method: how it searches.
        answer: the best so far; None while there is none.
        confidence: the answer's share of the weight of all answers.
        stop_reason: why it stopped; None while it runs, and for one that failed.
        usage: spent as of its last trial.
        key_id: id of the API key that it belongs to, if any.
        replica: who runs it, or did last.
        failure: what ended a search that failed.
    """

    search_id: str
    status: Status
    created: float
    ended: float | None
    problem: str
    method: str
    answer: str | None
    confidence: float
    stop_reason: str | None
    usage: Usage
    key_id: str | None
    replica: str
    failure: str | None


def opening(started: Started, key_id: str | None, replica: str) -> list[str | float]:
    """Fields of a search that begins, as name, value, name, value."""
    return [
        *("created", started.at, "problem", started.request.problem[:_PROBLEM_CHARS]),
        *("method", started.request.search.model_dump().get("method", "mcts")),
        *("key_id", key_id or "", "replica", replica),
    ]


def changes(events: Sequence[Event]) -> list[str | float]:
    """Fields that events change, as name, value, name, value."""
    fields: dict[str, str | float] = {}
    for event in events:
        match event:
            case TrialTold(progress=progress):
                fields |= {
                    "adoptions": 0,
                    "answer": progress.answer or "",
                    "confidence": progress.confidence,
                    "usage": progress.usage.model_dump_json(),
                }
            case Finished(solution=solution):
                is_cancelled = solution.stop_reason == "cancelled"
                fields |= {
                    "status": "cancelled" if is_cancelled else "finished",
                    "ended": event.at,
                    "answer": solution.answer or "",
                    "confidence": solution.confidence,
                    "stop_reason": solution.stop_reason,
                    "usage": solution.usage.model_dump_json(),
                }
            case Failed():
                failure = f"{event.cause}: {event.detail}"
                fields |= {"status": "failed", "ended": event.at, "failure": failure}
    return [part for item in fields.items() for part in item]


def parse(search_id: str, values: Sequence[bytes | None]) -> Summary | None:
    """The summary in the values of FIELDS; None where there is no search.

    A hash that holds what no version of this code wrote shows as far as it can be read.
    """
    raw: Mapping[str, str] = {
        name: value.decode(errors="replace")
        for name, value in zip(FIELDS, values, strict=True)
        if value
    }
    status = _STATUSES.get(raw.get("status", ""))
    if status is None:
        return None
    return Summary(
        search_id=search_id,
        status=status,
        created=_number(raw.get("created")) or 0.0,
        ended=_number(raw.get("ended")),
        problem=raw.get("problem", ""),
        method=raw.get("method", ""),
        answer=raw.get("answer"),
        confidence=_number(raw.get("confidence")) or 0.0,
        stop_reason=raw.get("stop_reason"),
        usage=_usage(raw.get("usage")),
        key_id=raw.get("key_id"),
        replica=raw.get("replica", ""),
        failure=raw.get("failure"),
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _usage(text: str | None) -> Usage:
    try:
        return Usage.model_validate_json(text) if text else Usage()
    except ValidationError:
        return Usage()
