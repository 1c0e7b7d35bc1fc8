"""Asks the search service over gRPC, and waits out its short absences."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import grpc

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc
from services.common.tls import ClientTls

CONNECT_SECONDS = 10.0
KEY_VARIABLE = "RSTAR_API_KEY"
TLS_VARIABLES = ("RSTAR_TLS_CA", "RSTAR_TLS_CERT", "RSTAR_TLS_KEY")
OVERTIME_SECONDS = 60.0
TREE_SECONDS = 60.0
INFO_SECONDS = 20.0

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})


Result = TypeVar("Result")


class ServiceAbsent(Exception):  # noqa: N818 - a state
    """Nothing answers at the target."""


class SolveFailed(Exception):  # noqa: N818 - an event
    """The service gave no solution.

    Attributes:
        code: the RPC status.
        details: what came with it.
        passing: whether it was down or busy all the time, and may be back later.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details

    @property
    def passing(self) -> bool:
        return self.code in _PASSING


class SearchService:
    """The search service as an evaluation uses it."""

    def __init__(self, channel: grpc.aio.Channel, patience_seconds: float) -> None:
        """Args:
        channel: to the service.
        patience_seconds: how long one problem is tried again while the service is down or busy.
        """
        self._stub = search_pb2_grpc.SearchServiceStub(channel)
        self._patience = patience_seconds

    async def solve(self, request: pb.SolveRequest) -> pb.Solution:
        """The solution of one problem; SolveFailed where there is none."""
        return await self._patiently(lambda: self._solve(request))

    async def tree(self, search_id: str) -> list[pb.TreeNode]:
        """All nodes of a search's trees; SolveFailed where they cannot be had."""
        return await self._patiently(lambda: self._tree(search_id))

    async def info(self) -> pb.InfoResponse:
        """What stands behind the service; SolveFailed where it does not say."""
        return await self._patiently(self._info)

    async def _patiently(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """What an attempt gives, once the service is there and has room."""
        give_up = time.monotonic() + self._patience
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await attempt()
            except SolveFailed as failure:
                if not failure.passing or time.monotonic() + pause > give_up:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the callers
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _solve(self, request: pb.SolveRequest) -> pb.Solution:
        timeout = request.budget.seconds + OVERTIME_SECONDS
        try:
            async for response in self._stub.Solve(request, timeout=timeout):
                if response.WhichOneof("event") == "solution":
                    return response.solution
        except grpc.aio.AioRpcError as error:
            raise SolveFailed(error.code(), error.details() or "") from error
        raise SolveFailed(grpc.StatusCode.INTERNAL, "the stream ended without a solution")

    async def _info(self) -> pb.InfoResponse:
        try:
            return await self._stub.Info(pb.InfoRequest(), timeout=INFO_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise SolveFailed(error.code(), error.details() or "") from error

    async def _tree(self, search_id: str) -> list[pb.TreeNode]:
        nodes: list[pb.TreeNode] = []
        try:
            asked = pb.TreeRequest(search_id=search_id)
            async for response in self._stub.Tree(asked, timeout=TREE_SECONDS):
                nodes += response.nodes
        except grpc.aio.AioRpcError as error:
            raise SolveFailed(error.code(), error.details() or "") from error
        return nodes


@contextlib.asynccontextmanager
async def connect(target: str, patience_seconds: float) -> AsyncIterator[SearchService]:
    """The service at a gRPC target; ServiceAbsent where nothing answers within CONNECT_SECONDS."""
    async with connected(target) as channel:
        yield SearchService(channel, patience_seconds)


@contextlib.asynccontextmanager
async def connected(target: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a gRPC target; ServiceAbsent where nothing answers within CONNECT_SECONDS.

    It shows the API key of the variable RSTAR_API_KEY, if any. With RSTAR_TLS_CA, the authorities
    of the service's certificate (PEM), it speaks TLS, and shows RSTAR_TLS_CERT with RSTAR_TLS_KEY.
    tls.TlsError where a file cannot be read.
    """
    async with rpc.channel(target, _tls(), key=os.environ.get(KEY_VARIABLE)) as channel:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await channel.channel_ready()
        except TimeoutError:
            raise ServiceAbsent(
                f"nothing answers at {target}: start the stack with `rstar up`"
            ) from None
        yield channel


def _tls() -> ClientTls | None:
    paths = [Path(text) if (text := os.environ.get(name)) else None for name in TLS_VARIABLES]
    return ClientTls(*paths) if any(paths) else None
