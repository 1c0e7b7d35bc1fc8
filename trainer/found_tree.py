"""A tree as a search service gave it, and whether its answers are right."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from trainer.trees import SearchTree, TreeNode


@dataclass(frozen=True, slots=True)
class FoundTree:
    """One tree of a search.

    Attributes:
        nodes: the root not among them.
        root_q, root_visits: of the root.
    """

    nodes: Sequence[TreeNode] = ()
    root_q: float = 0.0
    root_visits: int = 0

    def grown(self) -> SearchTree:
        """Its nodes as a tree; ValueError where they are none."""
        return SearchTree(self.nodes)


class Judge(Protocol):
    """Says whether answers are right."""

    async def correct(self, gold: str, answer: str) -> bool:
        """Whether an answer equals the reference answer."""
        ...


async def graded(trees: Sequence[FoundTree], gold: str, grader: Judge) -> list[FoundTree]:
    """The trees, each terminal node with its verdict; the search's own where it gave one."""
    verdicts: dict[str, bool] = {}

    async def judged(node: TreeNode) -> TreeNode:
        if node.outcome != "terminal" or node.correct is not None:
            return node
        answer = node.answer or ""
        if answer not in verdicts:
            verdicts[answer] = await grader.correct(gold, answer)
        return node.model_copy(update={"correct": verdicts[answer]})

    return [replace(tree, nodes=[await judged(node) for node in tree.nodes]) for tree in trees]
