"""Trees of finished searches, as evaluation and training read them; pure.

A tree is a flat list of nodes that name their parents, which is also how it is kept in records and
in parquet: one row a node.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import BaseModel

ROOT_ID = "root"
Outcome = Literal["open", "terminal", "failed", "limit"]


class TreeNode(BaseModel):
    """A step of a search.

    Attributes:
        id: hash of the steps from the root to here.
        parent: id of the node before it; ROOT_ID for a first step.
        text: the step in canonical form.
        outcome: `terminal` ends a solution with an answer, `failed` by an error, `limit` because it
            became too long; `open` goes on.
        ends_code: whether it ends the code.
        output, error: what its code printed, and why it failed.
        q: Q-value, -1 to 1.
        visits: visit count.
        samples: how often the policy proposed it.
        tokens: new tokens of the policy.
        mean_logprob: mean natural-log probability of those tokens.
        ppm_score: -1 to 1; None in an unguided search.
        answer: of a terminal node.
        correct: whether that is right; None where it was not graded.
        policy: version that proposed it.
    """

    id: str
    parent: str
    text: str
    outcome: Outcome
    ends_code: bool = False
    output: str = ""
    error: str = ""
    q: float = 0.0
    visits: int = 0
    samples: int = 1
    tokens: int = 0
    mean_logprob: float = 0.0
    ppm_score: float | None = None
    answer: str | None = None
    correct: bool | None = None
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A finished solution: the path from the first step to a terminal node."""

    nodes: tuple[TreeNode, ...]

    @property
    def leaf(self) -> TreeNode:
        """The node that ends it."""
        return self.nodes[-1]

    @property
    def answer(self) -> str:
        """What it answers."""
        return self.leaf.answer or ""

    @property
    def correct(self) -> bool:
        """Whether the answer is right."""
        return bool(self.leaf.correct)

    @property
    def likelihood(self) -> float:
        """Mean natural-log probability of its tokens, at most 0; 0 where none are counted."""
        tokens = sum(node.tokens for node in self.nodes)
        if not tokens:
            return 0.0
        return sum(node.mean_logprob * node.tokens for node in self.nodes) / tokens

    @property
    def mean_q(self) -> float:
        """Mean Q-value of its steps."""
        return sum(node.q for node in self.nodes) / len(self.nodes)

    @property
    def min_q(self) -> float:
        """Lowest Q-value of its steps."""
        return min(node.q for node in self.nodes)


class SearchTree:
    """A tree over its nodes, the root not among them.

    Raises:
        ValueError: an id is used twice, or a parent is missing or stands in a circle.
    """

    def __init__(self, nodes: Sequence[TreeNode]) -> None:
        self.nodes = {node.id: node for node in nodes}
        if len(self.nodes) != len(nodes) or ROOT_ID in self.nodes:
            raise ValueError("a node's id is used twice")
        self._children: dict[str, list[TreeNode]] = {ROOT_ID: [], **{i: [] for i in self.nodes}}
        for node in nodes:
            if node.parent not in self._children:
                raise ValueError(f"node {node.id}: its parent {node.parent} is missing")
            self._children[node.parent].append(node)
        if len(self.depths) != len(self.nodes):
            raise ValueError("nodes stand in a circle")

    def children(self, identity: str) -> Sequence[TreeNode]:
        """The nodes after one, or after the root."""
        return self._children[identity]

    @cached_property
    def depths(self) -> dict[str, int]:
        """Depth of every node; 1 for a first step."""
        depths: dict[str, int] = {}
        layer, depth = list(self._children[ROOT_ID]), 1
        while layer:
            depths.update((node.id, depth) for node in layer)
            layer = [child for node in layer for child in self._children[node.id]]
            depth += 1
        return depths

    def path(self, identity: str) -> tuple[TreeNode, ...]:
        """The nodes from the first step to one, both among them."""
        path = []
        while identity != ROOT_ID:
            node = self.nodes[identity]
            path.append(node)
            identity = node.parent
        return tuple(reversed(path))

    def leaves(self) -> Iterator[TreeNode]:
        """The nodes without children."""
        return (node for node in self.nodes.values() if not self._children[node.id])

    def trajectories(self) -> list[Trajectory]:
        """The finished solutions."""
        return [
            Trajectory(self.path(node.id))
            for node in self.nodes.values()
            if node.outcome == "terminal"
        ]
