"""ASGI middleware that admits callers before anything of their request is read."""

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.search.access.errors import AccessError
from services.search.access.guard import Caller, Guard
from services.search.access.keys import bearer
from services.search.clients.dependencies import DependencyError
from services.search.rest.errors import respond

# What supervisors and scrapers ask, and what says how to ask: none of it is anybody's.
OPEN_PATHS = frozenset({"/health", "/ready", "/metrics", "/openapi.json", "/docs", "/", "/reports"})
# The page's parts, and the reports that are published beside it.
_OPEN_FOLDERS = ("/static/", "/reports/")


class Admission:
    """Finds the caller of every request, or answers 401, 429 or 503; adds the RateLimit fields."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its caller in `state`."""
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = bearer(headers.get("Authorization"), headers.get("X-API-Key"))
        try:
            caller = await self._guard.admit(key)
        except (AccessError, DependencyError) as error:
            await respond(error, scope["path"])(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        quota = caller.headers()

        async def with_quota(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(quota)
            await send(message)

        await self._app(scope, receive, with_quota if quota else send)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(_OPEN_FOLDERS)


def caller_of(request: Request) -> Caller:
    """The caller whom the middleware has admitted."""
    caller: Caller = request.state.caller
    return caller
