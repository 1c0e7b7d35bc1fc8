"""The search service as a harvest uses it, over gRPC."""

import contextlib
from collections.abc import AsyncIterator

import grpc

from services.common.pb.search.v1 import search_pb2 as pb
from trainer.evaluation import service
from trainer.evaluation.service import SearchService
from trainer.harvest.searched import Found
from trainer.wire_trees import to_trees


class RemoteSearcher:
    """Runs searches on a search service."""

    def __init__(self, channel: grpc.aio.Channel, patience_seconds: float) -> None:
        """Args:
        channel: to the service.
        patience_seconds: how long a search is tried again while the service is down or busy.
        """
        self._service = SearchService(channel, patience_seconds)

    async def search(self, request: pb.SolveRequest) -> Found:
        """One search; SolveFailed where there is no result, or its trees cannot be had."""
        solution = await self._service.solve(request)
        nodes = await self._service.tree(solution.search_id)
        return Found(
            search=solution.search_id,
            trees=to_trees(nodes, solution.models.policy),
            policy=solution.models.policy,
            ppm=solution.models.ppm,
            stop_reason=pb.StopReason.Name(solution.stop_reason)
            .removeprefix("STOP_REASON_")
            .lower(),
        )


@contextlib.asynccontextmanager
async def connect(target: str, patience_seconds: float) -> AsyncIterator[RemoteSearcher]:
    """The service at a gRPC target; ServiceAbsent where nothing answers."""
    async with service.connected(target) as channel:
        yield RemoteSearcher(channel, patience_seconds)
