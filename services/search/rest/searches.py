"""The searches that were begun: their state, tree, events, end."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response

from services.search.front import Front
from services.search.log_view import LogView
from services.search.rest import docs, events, sse
from services.search.rest.access import caller_of
from services.search.rest.problems import EndedAlready
from services.search.store.entry import ID_PATTERN, position
from services.search.store.events import Finished
from services.search.views import SearchDetail, SearchPage, SearchView, Status, TreeView

SearchId = Annotated[
    str, Path(pattern="^[0-9a-f]{27}$", description="Its id.", examples=[docs.SEARCH_ID])
]
EventId = Annotated[
    str, Query(pattern=f"^{ID_PATTERN}$", description="Id of the last entry that is known.")
]


def router(front: Front) -> APIRouter:
    """The operations over a front."""
    routes = APIRouter(prefix="/searches", tags=["searches"])
    _add_overviews(routes, front)
    _add_insights(routes, front)
    return routes


def _add_overviews(routes: APIRouter, front: Front) -> None:
    """Lists, states, ends."""

    @routes.get(
        "",
        response_model=SearchPage,
        responses=docs.problems(422) | docs.example(200, docs.SEARCH_PAGE),
        summary="List searches, the newest first",
        operation_id="listSearches",
    )
    async def page(
        request: Request,
        cursor: Annotated[
            str | None,
            Query(pattern="^[0-9a-f]{27}$", description="`next` of the page before."),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200, description="Most to list.")] = 50,
        status: Annotated[Status | None, Query(description="Only those.")] = None,
    ) -> SearchPage:
        """A caller without the scope `admin` sees the searches of its own key alone."""
        found = await front.page(caller_of(request), cursor, limit, status)
        return SearchPage(searches=[SearchView.of(one) for one in found.items], next=found.next)

    @routes.get(
        "/{search_id}",
        response_model=SearchDetail,
        responses=docs.problems(404, 422) | docs.example(200, docs.SEARCH),
        summary="Look at a search",
        operation_id="getSearch",
    )
    async def get(search_id: SearchId, request: Request) -> SearchDetail:
        """Its state and, where it has ended with one, its solution."""
        summary = await front.find(caller_of(request), search_id)
        detail = SearchDetail.model_validate(summary, from_attributes=True)
        if summary.status in ("finished", "cancelled"):
            last = await front.manager.store.last(search_id)
            if last is not None and isinstance(last.event, Finished):
                detail.solution = last.event.solution
        return detail

    @routes.delete(
        "/{search_id}",
        status_code=204,
        responses=docs.problems(404, 409, 422),
        summary="Cancel a search",
        operation_id="cancelSearch",
    )
    async def cancel(search_id: SearchId, request: Request) -> Response:
        """End a search, whichever replica runs it, with what it has found by then.

        It may take a moment until its state says so. 409 where it has ended already.
        """
        if not await front.cancel(caller_of(request), search_id):
            raise EndedAlready(search_id)
        return Response(status_code=204)


def _add_insights(routes: APIRouter, front: Front) -> None:
    """What is going on in a search."""

    @routes.get(
        "/{search_id}/tree",
        response_model=TreeView,
        responses=docs.problems(404, 422) | docs.example(200, docs.TREE),
        summary="Look at a search's tree",
        operation_id="getTree",
    )
    async def tree(search_id: SearchId, request: Request) -> Response:
        """The tree as the log has it by now, also while the search runs."""
        await front.find(caller_of(request), search_id)
        view = LogView(search_id)
        for entry in await front.manager.store.entries(search_id):
            view.skip(entry)
            # A long log is folded in one go otherwise, and nothing else runs meanwhile.
            await asyncio.sleep(0)
        # The document may be large, and is known to be right: it is not validated once more.
        return Response(view.tree().model_dump_json(), media_type="application/json")

    @routes.get(
        "/{search_id}/events",
        responses=docs.problems(404, 422) | docs.EVENTS,
        summary="Follow a search's log",
        operation_id="followSearch",
    )
    async def follow(
        search_id: SearchId,
        request: Request,
        after: EventId = "0",
        last_event_id: Annotated[
            str,
            Header(
                alias="Last-Event-ID",
                pattern=f"^({ID_PATTERN})?$",
                description="As `after`, and goes before it.",
            ),
        ] = "",
    ) -> Response:
        """Server-sent events, one an entry of the log, from the first or after a known one.

        `started`, then a `trial` for each expansion, then `finished` or `failed`, which is the
        last. The id of an event is its entry's; a broken stream is taken up again after it. 204
        where there is nothing after it, since the search has ended. Leaving does not cancel the
        search.
        """
        await front.find(caller_of(request), search_id)
        chunks = events.of_log(front, search_id, position(last_event_id or after))
        return await sse.respond(sse.with_heartbeats(chunks, front.heartbeat_seconds))
