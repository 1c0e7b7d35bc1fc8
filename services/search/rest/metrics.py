"""ASGI middleware that counts and times requests by their route."""

import time

from fastapi import FastAPI
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.search.metrics import HTTP_SECONDS

_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})


class Metering:
    """Observes every request; paths that are no route's count as one."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and time it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            labels = method, self._route(scope), str(status)
            HTTP_SECONDS.labels(*labels).observe(time.monotonic() - begun)

    def _route(self, scope: Scope) -> str:
        for route in self._api.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                return route.path
        return "none"
