"""POST /solve."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response

from services.search.front import Front
from services.search.manager import Handle
from services.search.rest import docs, events, sse
from services.search.rest.access import caller_of
from services.search.schemas import Solution, SolveCall
from services.search.views import Accepted

_GONE = 499

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Names the search: asked again with the same key and body, the same search "
        "answers, and a caller who leaves does not cancel it.",
    ),
]


def router(front: Front) -> APIRouter:
    """The operation over a front."""
    routes = APIRouter(tags=["solve"])

    @routes.post(
        "/solve",
        response_model=Solution,
        responses=docs.SOLVE_RESPONSES,
        summary="Search for the answer of one problem",
        operation_id="solve",
    )
    async def solve(
        body: SolveCall, request: Request, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Spend a budget on a problem and answer it.

        With `stream`, the response is a stream of server-sent events: `progress` at once and after
        each trial, then one `solution` (the same document as without `stream`) or `error` (problem
        details). With `async`, the response is the place of the search, at once. Otherwise a caller
        who leaves cancels the search, unless it has an Idempotency-Key.
        """
        handle = await front.begin(caller_of(request), body.request(), idempotency_key)
        if body.is_async:
            return _accepted(handle)
        if body.stream:
            return await sse.respond(
                sse.with_heartbeats(_stream(front, handle), front.heartbeat_seconds)
            )
        solution = await wait_for_solution(front, handle, request)
        return JSONResponse(solution.model_dump()) if solution else Response(status_code=_GONE)

    return routes


def _accepted(handle: Handle) -> Response:
    location = f"/searches/{handle.search_id}"
    body = Accepted(search_id=handle.search_id, location=location)
    return JSONResponse(body.model_dump(), status_code=202, headers={"Location": location})


async def _stream(front: Front, handle: Handle) -> AsyncGenerator[str, None]:
    with front.leaving(handle):
        async with contextlib.aclosing(events.of_caller(front, handle.search_id)) as chunks:
            async for chunk in chunks:
                yield chunk


async def wait_for_solution(front: Front, handle: Handle, request: Request) -> Solution | None:
    """The solution; None where the caller left first."""
    gone = asyncio.create_task(_until_gone(request))
    solution = asyncio.create_task(front.manager.wait(handle.search_id))
    try:
        with front.leaving(handle):
            await asyncio.wait({gone, solution}, return_when=asyncio.FIRST_COMPLETED)
        if solution.done():
            return solution.result()
        if not handle.keyed:
            front.abandon(handle.search_id)
        return None
    finally:
        gone.cancel()
        solution.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
