"""The trees of a search as messages, folded from its log; pure."""

from collections.abc import Iterable, Iterator

from services.common.pb.search.v1 import search_pb2 as pb
from services.search.forest import Forest
from services.search.node import Node
from services.search.store.entry import Entry
from services.search.store.events import LogError, Started, TrialTold
from services.search.tree import EventError, Tree

_BATCH = 256


def grow(entries: Iterable[Entry]) -> Forest:
    """The forest of a log; LogError where it does not begin as one, or tells of no tree."""
    forest: Forest | None = None
    for entry in entries:
        match entry.event:
            case Started(config=config):
                forest = Forest(config)
            case TrialTold(expanded=expanded):
                if forest is None:
                    break
                try:
                    forest.apply(expanded)
                except EventError as error:
                    raise LogError(str(error)) from error
    if forest is None:
        raise LogError("the log does not begin with a started event")
    return forest


def to_trees(forest: Forest) -> Iterator[pb.TreeResponse]:
    """All nodes, some in each message: tree after tree, parents before their children."""
    nodes = [_node(tree, node) for tree in forest.trees for node in tree.nodes.values()]
    for first in range(0, len(nodes), _BATCH):
        yield pb.TreeResponse(nodes=nodes[first : first + _BATCH])


def _node(tree: Tree, node: Node) -> pb.TreeNode:
    message = pb.TreeNode(
        tree=tree.index,
        id=node.id,
        parent=node.parent.id if node.parent else "",
        outcome=pb.NodeOutcome.Value(f"NODE_OUTCOME_{node.outcome.name}"),
        q=tree.q(node),
        visits=node.visits,
        samples=node.samples,
    )
    if (step := node.step) is not None:
        message.MergeFrom(
            pb.TreeNode(
                step=step.text,
                ends_code=step.ends_code,
                output=step.output,
                error=step.error,
                tokens=step.tokens,
                mean_logprob=step.mean_logprob,
                ppm_score=step.ppm_score,
                answer=step.answer,
                correct=step.correct,
            )
        )
    return message
