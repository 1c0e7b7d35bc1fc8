"""Trees of searches from the messages of SearchService.Tree; pure."""

from collections.abc import Iterable
from typing import Final

from services.common.pb.search.v1 import search_pb2 as pb
from trainer.found_tree import FoundTree
from trainer.trees import ROOT_ID, Outcome, TreeNode

_OUTCOMES: Final[dict[int, Outcome]] = {
    pb.NODE_OUTCOME_OPEN: "open",
    pb.NODE_OUTCOME_TERMINAL: "terminal",
    pb.NODE_OUTCOME_FAILED: "failed",
    pb.NODE_OUTCOME_LIMIT: "limit",
}


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
