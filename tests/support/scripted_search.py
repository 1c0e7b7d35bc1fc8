"""A scripted SearchService behind the real contract, for tests of its callers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc

Script = Callable[[pb.SolveRequest], pb.Solution]
Trees = Callable[[str], list[pb.TreeNode]]


class ScriptedSearch(search_pb2_grpc.SearchServiceServicer):
    """Answers as its script says, which may raise rpc.StatusError; keeps what it was asked."""

    def __init__(self, script: Script, trees: Trees = lambda search_id: []) -> None:
        self.script = script
        self.trees = trees
        self.info = pb.InfoResponse(
            policy="policy-1", prompt_version="bare-1", policy_engine="engine 1, cpu, float32"
        )
        self.requests: list[pb.SolveRequest] = []
        self.cancelled = 0
        self.most_at_once = 0
        self._at_once = 0
        self.hold: asyncio.Event | None = None

    @rpc.streaming
    async def Solve(  # noqa: N802 - the name in the contract
        self, request: pb.SolveRequest, context: rpc.Context
    ) -> AsyncIterator[pb.SolveResponse]:
        self.requests.append(request)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield pb.SolveResponse(progress=pb.SolveProgress(search_id="s"))
            if self.hold is not None:
                await self.hold.wait()
            yield pb.SolveResponse(solution=self.script(request))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._at_once -= 1

    @rpc.unary
    async def Info(  # noqa: N802 - the name in the contract
        self, request: pb.InfoRequest, context: rpc.Context
    ) -> pb.InfoResponse:
        return self.info

    @rpc.streaming
    async def Tree(  # noqa: N802 - the name in the contract
        self, request: pb.TreeRequest, context: rpc.Context
    ) -> AsyncIterator[pb.TreeResponse]:
        nodes = self.trees(request.search_id)
        for first in range(0, len(nodes), 2):
            yield pb.TreeResponse(nodes=nodes[first : first + 2])


@contextlib.asynccontextmanager
async def serving(search: ScriptedSearch, port: int = 0) -> AsyncIterator[str]:
    """Serves it; yields the gRPC target."""
    server = rpc.Server(("rstar.search.v1.SearchService",), max_concurrent_rpcs=64)
    search_pb2_grpc.add_SearchServiceServicer_to_server(search, server.grpc)
    bound = await server.start("127.0.0.1", port)
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(0)
