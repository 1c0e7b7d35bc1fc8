"""The search service as a harvest uses it, over gRPC."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

import grpc

from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc
from trainer.evaluation import service
from trainer.evaluation.service import SearchService, SolveFailed
from trainer.harvest.searched import Found, FoundTree
from trainer.trees import ROOT_ID, Outcome, TreeNode

_TREE_SECONDS: Final = 60.0
_OUTCOMES: Final[dict[int, Outcome]] = {
    pb.NODE_OUTCOME_OPEN: "open",
    pb.NODE_OUTCOME_TERMINAL: "terminal",
    pb.NODE_OUTCOME_FAILED: "failed",
    pb.NODE_OUTCOME_LIMIT: "limit",
}


class RemoteSearcher:
    """Runs searches on a search service."""

    def __init__(self, channel: grpc.aio.Channel, patience_seconds: float) -> None:
        """Args:
        channel: to the service.
        patience_seconds: how long a search is tried again while the service is down or busy.
        """
        self._service = SearchService(channel, patience_seconds)
        self._stub = search_pb2_grpc.SearchServiceStub(channel)

    async def search(self, request: pb.SolveRequest) -> Found:
        """One search; SolveFailed where there is no result, or its trees cannot be had."""
        solution = await self._service.solve(request)
        asked = pb.TreeRequest(search_id=solution.search_id)
        nodes: list[pb.TreeNode] = []
        try:
            async for reply in self._stub.Tree(asked, timeout=_TREE_SECONDS):
                nodes += reply.nodes
        except grpc.aio.AioRpcError as error:
            raise SolveFailed(error.code(), error.details() or "") from error
        return Found(
            search=solution.search_id,
            trees=to_trees(nodes, solution.models.policy),
            policy=solution.models.policy,
            ppm=solution.models.ppm,
            stop_reason=pb.StopReason.Name(solution.stop_reason)
            .removeprefix("STOP_REASON_")
            .lower(),
        )


def to_trees(nodes: Iterable[pb.TreeNode], policy: str) -> list[FoundTree]:
    """The trees that messages tell of, in their order."""
    roots: dict[int, pb.TreeNode] = {}
    below: dict[int, list[TreeNode]] = {}
    for node in nodes:
        below.setdefault(node.tree, [])
        if node.id == ROOT_ID:
            roots[node.tree] = node
        else:
            below[node.tree].append(_node(node, policy))
    missing = pb.TreeNode()
    return [
        FoundTree(below[index], roots.get(index, missing).q, roots.get(index, missing).visits)
        for index in sorted(below)
    ]


def _node(node: pb.TreeNode, policy: str) -> TreeNode:
    return TreeNode(
        id=node.id,
        parent=node.parent,
        text=node.step,
        outcome=_OUTCOMES[node.outcome],
        ends_code=node.ends_code,
        output=node.output,
        error=node.error,
        q=node.q,
        visits=node.visits,
        samples=node.samples,
        tokens=node.tokens,
        mean_logprob=node.mean_logprob,
        ppm_score=node.ppm_score if node.HasField("ppm_score") else None,
        answer=node.answer if node.HasField("answer") else None,
        correct=node.correct if node.HasField("correct") else None,
        policy=policy,
    )


@contextlib.asynccontextmanager
async def connect(target: str, patience_seconds: float) -> AsyncIterator[RemoteSearcher]:
    """The service at a gRPC target; ServiceAbsent where nothing answers."""
    async with service.connected(target) as channel:
        yield RemoteSearcher(channel, patience_seconds)
