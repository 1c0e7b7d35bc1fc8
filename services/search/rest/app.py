"""The REST API."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from services.search.manager import Manager, Running
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

        With `stream`, the response is a stream of server-sent events: `progress` about twice a
        second, then one `solution` (the same document as without `stream`) or `error` (problem
        details). A caller who leaves cancels the search.
        """
        running = await manager.begin(body)
        if body.stream:
            events = _events(manager, running)
            # Once begun, the iterator cancels the search when it is dropped, also by a caller who
            # leaves before the first byte.
            first = await anext(events)
            return StreamingResponse(
                _chain(first, events),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        solution = await _solution_or_gone(manager, running, request)
        return JSONResponse(solution.model_dump()) if solution else Response(status_code=499)

    @app.get("/health", summary="Whether the process is alive")
    async def health() -> dict[str, bool]:
        return {"healthy": True}

    @app.get("/ready", summary="Whether searches can be run, dependency by dependency")
    async def ready() -> JSONResponse:
        await manager.monitor.check()
        dependencies = manager.monitor.dependencies
        is_ready = all(one.ready for one in dependencies.values())
        report = {
            "ready": is_ready,
            "dependencies": {
                name: {"ready": one.ready, "detail": one.detail}
                for name, one in dependencies.items()
            },
        }
        return JSONResponse(report, status_code=200 if is_ready else 503)

    return app


async def _events(manager: Manager, running: Running) -> AsyncGenerator[str, None]:
    """The events of a search as text/event-stream."""
    try:
        async for event in manager.follow(running):
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


async def _solution_or_gone(
    manager: Manager, running: Running, request: Request
) -> Solution | None:
    """The solution; None where the caller left first, which cancels the search."""
    gone = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait({gone, running.task}, return_when=asyncio.FIRST_COMPLETED)
        return running.task.result() if running.task.done() else None
    finally:
        gone.cancel()
        await manager.cancel(running)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
