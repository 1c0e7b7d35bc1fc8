"""The REST API."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from services.search.manager import Handle, Manager
from services.search.news import stay_or_cancel, to_news
from services.search.rest import problems
from services.search.rest.body_limit import BodyLimit
from services.search.schemas import Problem, Progress, Solution, SolveRequest

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        413: "The body is too large.",
        422: "A field breaks its limit; `errors` names each.",
        429: "Too many searches at once; see Retry-After.",
        503: "A dependency is down or too slow; `dependency` names it.",
    }.items()
}


def create_app(manager: Manager, *, max_body_bytes: int) -> FastAPI:
    """The application over a manager of searches; its owner starts and closes the manager."""
    app = FastAPI(title="rStar", version=version("rstar"), docs_url="/docs", redoc_url=None)
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes)
    problems.install(app)

    @app.post(
        "/solve",
        response_model=Solution,
        responses=_ERRORS,
        summary="Search for the answer of one problem",
    )
    async def solve(body: SolveRequest, request: Request) -> Response:
        """Spend a budget on a problem and answer it.

        With `stream`, the response is a stream of server-sent events: `progress` after each
        trial, then one `solution` (the same document as without `stream`) or `error` (problem
        details). A caller who leaves cancels the search.
        """
        handle = await manager.begin(body)
        if body.stream:
            events = _events(manager, handle)
            # Once begun, the iterator cancels the search when it is dropped, also by a caller who
            # leaves before the first byte.
            first = await anext(events)
            return StreamingResponse(
                _chain(first, events),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        solution = await _solution_or_gone(manager, handle, request)
        return JSONResponse(solution.model_dump()) if solution else Response(status_code=499)

    @app.get("/health", summary="Whether the process is alive")
    async def health() -> dict[str, bool]:
        return {"healthy": True}

    @app.get("/ready", summary="Whether searches can be run, dependency by dependency")
    async def ready() -> JSONResponse:
        await manager.monitor.check()
        dependencies = manager.monitor.dependencies
        is_ready = manager.monitor.ready and not manager.draining
        report = {
            "ready": is_ready,
            "dependencies": {
                name: {"ready": one.ready, "detail": one.detail}
                for name, one in dependencies.items()
            },
        }
        return JSONResponse(report, status_code=200 if is_ready else 503)

    return app


async def _events(manager: Manager, handle: Handle) -> AsyncGenerator[str, None]:
    """The events of a search as text/event-stream."""
    try:
        async with stay_or_cancel(manager, handle):
            async for entry in manager.watch(handle.search_id):
                event = to_news(handle.search_id, entry.event)
                name = "progress" if isinstance(event, Progress) else "solution"
                yield f"event: {name}\ndata: {event.model_dump_json()}\n\n"
    except Exception as error:
        problem, _ = problems.from_error(error)
        yield f"event: error\ndata: {problem.model_dump_json(exclude_none=True)}\n\n"


async def _chain(first: str, rest: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    async with contextlib.aclosing(rest):
        yield first
        async for one in rest:
            yield one


async def _solution_or_gone(manager: Manager, handle: Handle, request: Request) -> Solution | None:
    """The solution; None where the caller left first, which cancels the search."""
    gone = asyncio.create_task(_until_gone(request))
    solution = asyncio.create_task(manager.wait(handle.search_id))
    try:
        await asyncio.wait({gone, solution}, return_when=asyncio.FIRST_COMPLETED)
        if solution.done():
            return solution.result()
        if not handle.keyed:
            await manager.cancel(handle.search_id)
        return None
    finally:
        gone.cancel()
        solution.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
