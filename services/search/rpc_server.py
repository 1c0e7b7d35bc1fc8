"""The gRPC SearchService: the REST API in protobuf."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Generator

import grpc

from services.common import rpc
from services.common.grading.grader import GRADER_VERSION
from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc
from services.search.access.errors import AccessError, Forbidden, QuotaExceeded
from services.search.access.guard import Caller
from services.search.access.keys import bearer
from services.search.clients.calls import RejectedError
from services.search.clients.dependencies import DependencyError
from services.search.front import Front
from services.search.manager import BusyError, Handle, SearchFailed
from services.search.memory import MemoryShort
from services.search.news import to_news
from services.search.rpc_messages import (
    to_entry,
    to_request,
    to_response,
    to_solution,
    to_status,
    to_summary,
)
from services.search.rpc_tree import grow, to_trees
from services.search.store.claims import ClaimConflict
from services.search.store.entry import position
from services.search.store.errors import UnknownSearch
from services.search.store.events import Finished, LogError

SERVICE = pb.DESCRIPTOR.services_by_name["SearchService"].full_name

_DEFAULT_PAGE = 50
_MAX_PAGE = 200
_MAX_KEY_CHARS = 255


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Runs searches for gRPC callers."""

    def __init__(self, front: Front) -> None:
        self._front = front

    @rpc.unary
    async def Info(  # noqa: N802 - the name in the contract
        self, request: pb.InfoRequest, context: rpc.Context
    ) -> pb.InfoResponse:
        """What stands behind the service."""
        with _statuses(context):
            await self._caller(context)
            served = await self._front.manager.served()
            return pb.InfoResponse(**dataclasses.asdict(served), grader=GRADER_VERSION)

    @rpc.streaming
    async def Solve(  # noqa: N802 - the name in the contract
        self, request: pb.SolveRequest, context: rpc.Context
    ) -> AsyncIterator[pb.SolveResponse]:
        """Progress at once and after each trial, then the solution."""
        with _statuses(context):
            handle = await self._begin(request, context)
            with self._front.leaving(handle):
                watch = self._front.manager.watch(handle.search_id)
                async with contextlib.aclosing(watch) as entries:
                    async for entry in entries:
                        yield to_response(to_news(handle.search_id, entry.event))

    @rpc.unary
    async def Submit(  # noqa: N802 - the name in the contract
        self, request: pb.SubmitRequest, context: rpc.Context
    ) -> pb.SubmitResponse:
        """Begin a search and return its id."""
        with _statuses(context):
            handle = await self._begin(request.request, context)
            return pb.SubmitResponse(search_id=handle.search_id, is_new=handle.is_new)

    @rpc.streaming
    async def Watch(  # noqa: N802 - the name in the contract
        self, request: pb.WatchRequest, context: rpc.Context
    ) -> AsyncIterator[pb.WatchResponse]:
        """A search's log, to its end."""
        with _statuses(context):
            caller = await self._caller(context)
            try:
                known = position(request.after or "0")
            except ValueError as error:
                raise rpc.InvalidField("after", str(error)) from error
            await self._front.find(caller, request.search_id)
            told = self._front.narrations.follow(self._front.manager, request.search_id, known)
            async with contextlib.aclosing(told) as entries:
                async for entry, brought in entries:
                    yield to_entry(entry, brought)

    @rpc.unary
    async def Get(  # noqa: N802 - the name in the contract
        self, request: pb.GetRequest, context: rpc.Context
    ) -> pb.GetResponse:
        """A search, with its solution where it has one."""
        with _statuses(context):
            caller = await self._caller(context)
            reply = pb.GetResponse(
                summary=to_summary(await self._front.find(caller, request.search_id))
            )
            last = await self._front.manager.store.last(request.search_id)
            if last is not None and isinstance(last.event, Finished):
                reply.solution.CopyFrom(to_solution(last.event.solution))
            return reply

    @rpc.streaming
    async def Tree(  # noqa: N802 - the name in the contract
        self, request: pb.TreeRequest, context: rpc.Context
    ) -> AsyncIterator[pb.TreeResponse]:
        """The trees of a search."""
        with _statuses(context):
            caller = await self._caller(context)
            await self._front.find(caller, request.search_id)
            entries = await self._front.manager.store.entries(request.search_id)
            for message in to_trees(grow(entries)):
                yield message

    @rpc.unary
    async def List(  # noqa: N802 - the name in the contract
        self, request: pb.ListRequest, context: rpc.Context
    ) -> pb.ListResponse:
        """A page of searches."""
        with _statuses(context):
            caller = await self._caller(context)
            limit = request.limit or _DEFAULT_PAGE
            if limit > _MAX_PAGE:
                raise rpc.InvalidField("limit", f"at most {_MAX_PAGE}")
            page = await self._front.page(
                caller, request.cursor or None, limit, to_status(request.status)
            )
            return pb.ListResponse(
                searches=[to_summary(one) for one in page.items], next_cursor=page.next or ""
            )

    @rpc.unary
    async def Cancel(  # noqa: N802 - the name in the contract
        self, request: pb.CancelRequest, context: rpc.Context
    ) -> pb.CancelResponse:
        """The end of a search."""
        with _statuses(context):
            caller = await self._caller(context)
            return pb.CancelResponse(
                was_running=await self._front.cancel(caller, request.search_id)
            )

    async def _begin(self, request: pb.SolveRequest, context: rpc.Context) -> Handle:
        caller = await self._caller(context)
        key = request.idempotency_key or None
        if key is not None and len(key) > _MAX_KEY_CHARS:
            raise rpc.InvalidField("idempotency_key", f"at most {_MAX_KEY_CHARS} characters")
        return await self._front.begin(caller, to_request(request), key)

    async def _caller(self, context: rpc.Context) -> Caller:
        found: dict[str, str] = {}
        for name, value in context.invocation_metadata() or ():
            found.setdefault(name, value if isinstance(value, str) else value.decode("latin-1"))
        key = bearer(found.get("authorization"), found.get("x-api-key"))
        return await self._front.guard.admit(key)


@contextlib.contextmanager
def _statuses(context: rpc.Context) -> Generator[None, None, None]:
    """Turn what a search's callers may be told into the RPC's status."""
    try:
        yield
    except rpc.StatusError:
        raise
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        if isinstance(error, BusyError | MemoryShort | QuotaExceeded):
            context.set_trailing_metadata((("retry-after", str(error.retry_after_seconds)),))
        raise status from error


def _status(error: Exception) -> rpc.StatusError | None:
    code = grpc.StatusCode
    match error:
        case RejectedError():
            return rpc.InvalidField("problem", str(error))
        case ClaimConflict():
            return rpc.InvalidField("idempotency_key", "stands for another request")
        case BusyError() | MemoryShort() | QuotaExceeded():
            return rpc.StatusError(code.RESOURCE_EXHAUSTED, str(error))
        case Forbidden():
            return rpc.StatusError(code.PERMISSION_DENIED, str(error))
        case AccessError():
            return rpc.StatusError(code.UNAUTHENTICATED, str(error))
        case UnknownSearch():
            return rpc.StatusError(code.NOT_FOUND, str(error))
        case DependencyError():
            return rpc.StatusError(code.UNAVAILABLE, str(error))
        case SearchFailed() | LogError():
            return rpc.StatusError(code.INTERNAL, str(error))
    return None
