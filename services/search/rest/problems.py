"""Errors of the REST API as RFC 9457 problem details."""

import math
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from services.common import logs, tracing
from services.search.access.errors import Forbidden, QuotaExceeded, Unauthenticated
from services.search.clients.calls import RejectedError
from services.search.clients.dependencies import DependencyError
from services.search.manager import BusyError, DrainingError, SearchFailed
from services.search.memory import MemoryShort
from services.search.schemas import FieldError, Problem
from services.search.store.claims import ClaimConflict
from services.search.store.errors import UnknownSearch
from services.search.store.events import LogError

log = logs.get(__name__)

MEDIA_TYPE = "application/problem+json"
# Registered by draft-ietf-httpapi-ratelimit-headers.
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_DRAINING_RETRY_SECONDS = 1


class EndedAlready(RuntimeError):  # noqa: N818 - a state
    """A search that was to be cancelled has ended."""

    def __init__(self, search_id: str) -> None:
        super().__init__(f"search {search_id} has ended already")


class UnknownKey(LookupError):  # noqa: N818 - a state
    """There is no API key of this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no API key {key_id!r}")


# Every exception that a caller may be told about; all others are 500.
KINDS: tuple[type[Exception], ...] = (
    RequestValidationError,
    RejectedError,
    ClaimConflict,
    UnknownSearch,
    UnknownKey,
    EndedAlready,
    LogError,
    Unauthenticated,
    Forbidden,
    QuotaExceeded,
    BusyError,
    MemoryShort,
    DependencyError,
    SearchFailed,
    HTTPException,
)


def from_error(error: Exception) -> tuple[Problem, dict[str, str]]:
    """The problem details of an exception, and the headers that go with them."""
    refused = _refused(error) or _denied(error) or _unavailable(error)
    if refused is not None:
        return refused
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        problem = Problem(title=phrase, status=error.status_code, detail=str(error.detail))
        return problem, dict(error.headers or {})
    if not isinstance(error, SearchFailed):
        log.error("request failed", exc_info=error)
    detail = str(error) if isinstance(error, SearchFailed | LogError) else type(error).__name__
    return Problem(title="Internal error", status=500, detail=f"{detail}; see the log"), {}


Answer = tuple[Problem, dict[str, str]]


def _refused(error: Exception) -> Answer | None:
    """Where the request is at fault."""
    match error:
        case RequestValidationError():
            return invalid(_field_errors(error)), {}
        case RejectedError():
            return invalid([FieldError(field="problem", limit=str(error))]), {}
        case ClaimConflict():
            limit = "stands for another request"
            return invalid([FieldError(field="Idempotency-Key", limit=limit)]), {}
        case UnknownSearch() | UnknownKey():
            return Problem(title="Not found", status=404, detail=str(error)), {}
        case EndedAlready():
            return Problem(title="Already ended", status=409, detail=str(error)), {}
    return None


def _denied(error: Exception) -> Answer | None:
    """Where the caller is."""
    match error:
        case Unauthenticated():
            problem = Problem(title="Unauthenticated", status=401, detail=str(error))
            return problem, {"WWW-Authenticate": 'Bearer realm="rstar"'}
        case Forbidden(scope=scope):
            problem = Problem(title="Forbidden", status=403, detail=str(error))
            challenge = f'Bearer realm="rstar", error="insufficient_scope", scope="{scope.value}"'
            return problem, {"WWW-Authenticate": challenge}
        case QuotaExceeded(policy=policy, retry_after_seconds=seconds):
            problem = Problem(
                type=QUOTA_EXCEEDED,
                title="Quota exceeded",
                status=429,
                detail=str(error),
                violated_policies=[policy],
            )
            return problem, _retry_after(seconds)
    return None


def _unavailable(error: Exception) -> Answer | None:
    """Where the service is."""
    match error:
        case DrainingError(search_id=search_id):
            problem = Problem(
                title="Stopping", status=503, detail=str(error), dependency="search"
            ).model_copy(update={"search_id": search_id})
            return problem, _retry_after(_DRAINING_RETRY_SECONDS)
        case DependencyError(name=name, retry_after_seconds=seconds):
            title = "Dependency unavailable"
            problem = Problem(title=title, status=503, detail=str(error), dependency=name)
            return problem, _retry_after(seconds)
        case BusyError(retry_after_seconds=seconds):
            problem = Problem(title="Too many searches", status=429, detail=str(error))
            return problem, _retry_after(seconds)
        case MemoryShort(retry_after_seconds=seconds):
            problem = Problem(title="Short of memory", status=429, detail=str(error))
            return problem, _retry_after(seconds)
    return None


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def invalid(errors: list[FieldError]) -> Problem:
    """422, with the fields at fault."""
    detail = "; ".join(f"{error.field}: {error.limit}" for error in errors)
    return Problem(title="Invalid request", status=422, detail=detail, errors=errors)


def _field_errors(error: RequestValidationError) -> list[FieldError]:
    fields = []
    for one in error.errors():
        # Where a field stands, first of all, is not part of its name.
        place = [str(part) for part in one["loc"][1:]]
        if one["type"] == "json_invalid":
            place = []
        limit = one["msg"].removeprefix("Value error, ")
        fields.append(FieldError(field=".".join(place) or "body", limit=limit))
    return fields


def respond(error: Exception) -> Response:
    """The response of an exception."""
    problem, headers = from_error(error)
    problem.trace_id = tracing.trace_id() or None
    return JSONResponse(
        problem.document(), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE
    )
