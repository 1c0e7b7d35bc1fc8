"""ASGI middleware that tells a caller the id of the trace of its request."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common import tracing

HEADER = "X-Trace-Id"


class TraceHeader:
    """Adds X-Trace-Id to every response, errors among them, while the request is traced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        trace = tracing.trace_id() if scope["type"] == "http" else ""
        if not trace:
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = trace
            await send(message)

        await self._app(scope, receive, marked)
