"""ASGI middleware for what is common to all operations: HEAD, OPTIONS, 405, 406 and 415."""

from collections.abc import Iterable

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.search.rest.errors import respond

JSON = "application/json"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Negotiation:
    """Answers what does not depend on an operation's meaning.

    HEAD is GET without the body, OPTIONS names the methods. A body must be JSON; `Accept` is only
    held against the caller where nothing that the operation sends is in it.
    """

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on that may be answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        routes = list(self._matching(scope))
        method = scope["method"]
        methods = {name for route in routes for name in route.methods or ()}
        if not routes:
            await self._app(scope, receive, send)
        elif method == "OPTIONS":
            await Response(status_code=204, headers=_allow(methods))(scope, receive, send)
        elif method == "HEAD" and "GET" in methods:
            await self._app({**scope, "method": "GET"}, receive, _without_body(send))
        elif (error := _refusal(scope, methods)) is not None:
            await respond(error, scope["path"])(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _matching(self, scope: Scope) -> Iterable[Route]:
        """The routes of a path, whatever their methods."""
        for route in self._api.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                yield route


def _allow(methods: Iterable[str]) -> dict[str, str]:
    names = {*methods, "OPTIONS"}
    if "GET" in names:
        names.add("HEAD")
    return {"Allow": ", ".join(sorted(names))}


def _refusal(scope: Scope, methods: set[str]) -> HTTPException | None:
    headers = Headers(scope=scope)
    if scope["method"] not in methods:
        return HTTPException(
            405, f"{scope['method']}: not among {', '.join(sorted(methods))}", _allow(methods)
        )
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if scope["method"] in _WITH_BODY and kind != JSON:
        return HTTPException(415, f"Content-Type: must be {JSON}", {"Accept-Post": JSON})
    if not _acceptable(headers.get("Accept", "")):
        return HTTPException(406, "Accept: JSON and event streams are what there is to send")
    return None


_SENT = (
    "application/json",
    "application/problem+json",
    "text/event-stream",
    "text/plain",
    "text/html",
)


def _acceptable(accept: str) -> bool:
    """Whether an Accept header leaves anything of what is sent."""
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    wanted = {one for one in ranges if one}
    mains = {kind.partition("/")[0] for kind in _SENT}
    return not wanted or any(
        one in ("*", "*/*") or one in _SENT or (one.endswith("/*") and one[:-2] in mains)
        for one in wanted
    )


def _without_body(send: Send) -> Send:
    async def bare(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return bare
