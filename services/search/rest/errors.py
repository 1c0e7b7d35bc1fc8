"""The error responses of the application: OpenAI's shape below /v1, problem details elsewhere."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.responses import Response

from services.search.rest import problems
from services.search.rest.openai import errors as openai_errors

OPENAI_PREFIX = "/v1/"


def respond(error: Exception, path: str) -> Response:
    """The response of an exception to a request of a path."""
    if path.startswith(OPENAI_PREFIX):
        return openai_errors.respond(error)
    return problems.respond(error)


def install(app: FastAPI) -> None:
    """Answer every error of an application in the shape of its path."""

    def handler() -> Callable[[Request, Exception], Awaitable[Response]]:
        async def handle(request: Request, error: Exception) -> Response:
            return respond(error, request.url.path)

        return handle

    for kind in (*problems.KINDS, Exception):
        app.add_exception_handler(kind, handler())
