"""Errors of the REST API as RFC 9457 problem details."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from services.common import logs
from services.search.clients.calls import RejectedError
from services.search.clients.dependencies import DependencyError
from services.search.manager import BusyError
from services.search.schemas import FieldError, Problem

log = logs.get(__name__)

MEDIA_TYPE = "application/problem+json"


def from_error(error: Exception) -> tuple[Problem, dict[str, str]]:
    """The problem details of an exception, and the headers that go with them."""
    headers: dict[str, str] = {}
    match error:
        case RequestValidationError():
            problem = invalid(_field_errors(error))
        case RejectedError():
            problem = invalid([FieldError(field="problem", limit=str(error))])
        case DependencyError():
            problem = Problem(
                title="Dependency unavailable", status=503, detail=str(error), dependency=error.name
            )
            headers["Retry-After"] = "1"
        case BusyError():
            problem = Problem(title="Too many searches", status=429, detail=str(error))
            headers["Retry-After"] = str(error.retry_after_seconds)
        case HTTPException():
            problem = Problem(
                title=str(error.detail), status=error.status_code, detail=str(error.detail)
            )
            headers.update(error.headers or {})
        case _:
            log.error("request failed", exc_info=error)
            problem = Problem(
                title="Internal error", status=500, detail=f"{type(error).__name__}, see the log"
            )
    return problem, headers


def invalid(errors: list[FieldError]) -> Problem:
    """422, with the fields at fault."""
    detail = "; ".join(f"{error.field}: {error.limit}" for error in errors)
    return Problem(title="Invalid request", status=422, detail=detail, errors=errors)


def _field_errors(error: RequestValidationError) -> list[FieldError]:
    fields = []
    for one in error.errors():
        place = [str(part) for part in one["loc"] if part != "body"]
        if one["type"] == "json_invalid":
            place = []
        limit = one["msg"].removeprefix("Value error, ")
        fields.append(FieldError(field=".".join(place) or "body", limit=limit))
    return fields


def respond(error: Exception) -> Response:
    """The response of an exception."""
    problem, headers = from_error(error)
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status_code=problem.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Answer every error of an application with problem details."""

    def handler() -> Callable[[Request, Exception], Awaitable[Response]]:
        async def handle(_: Request, error: Exception) -> Response:
            return respond(error)

        return handle

    for kind in (
        RequestValidationError,
        RejectedError,
        DependencyError,
        BusyError,
        HTTPException,
        Exception,
    ):
        app.add_exception_handler(kind, handler())
