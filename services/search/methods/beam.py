"""Beam search over steps, with the PPM as its judge."""

from collections.abc import Sequence

from services.search.answer import Ballot
from services.search.node import Node, Outcome, likelihood
from services.search.tree import Expanded, Tree, TreeConfig


class Beam(Tree):
    """A tree that grows level by level: of all steps of a level, the best `width` are kept.

    A step is judged by the PPM's score of the solution up to it; without a PPM, by the mean
    log-probability of that solution's tokens. A finished solution among the best takes its place
    in the beam with it, so that the beam narrows until it is empty. A rollout is a solution that
    was finished, or a node of the beam below which every candidate failed.

    The nodes of a level are expanded side by side; the next level begins when all of them are told.
    """

    def __init__(
        self, config: TreeConfig, ballot: Ballot, index: int = 0, trees: int = 1, *, width: int
    ) -> None:
        super().__init__(config, ballot, index, trees)
        self._places = width
        self._frontier: dict[str, Node] = {self.root.id: self.root}
        """Nodes of this level that are not expanded yet, the best first."""
        self._reached: dict[str, Node] = {}
        """What the expansions of this level have reached."""
        self._settle(self.root)

    def _select(self) -> tuple[Node, int] | None:
        for node in self._frontier.values():
            if self._may_expand(node):
                return node, self._next_rollout
        return None

    def _grow(self, event: Expanded, node: Node, leaves: Sequence[Node], fresh: int) -> None:
        self._frontier.pop(node.id, None)
        terminal = [leaf for leaf in leaves if leaf.outcome is Outcome.TERMINAL]
        alive = [leaf for leaf in leaves if self._is_alive(leaf, node)]
        for leaf in terminal:
            self._backup(leaf)
        if not terminal and not alive:
            self._backup(node)
        self.rollouts += len(terminal) or (0 if alive else 1)
        self._reached |= {leaf.id: leaf for leaf in (*terminal, *alive)}
        if not self._frontier:
            self._next_level()

    def _next_level(self) -> None:
        best = sorted(self._reached.values(), key=self._merit, reverse=True)[: self._places]
        self._reached = {}
        kept = [node for node in best if node.outcome is Outcome.OPEN]
        self._places -= len(best) - len(kept)
        self._frontier = {node.id: node for node in kept}
        for node in kept:
            self._settle(node)

    def _merit(self, node: Node) -> tuple[float, str]:
        if node.step is not None and node.step.ppm_score is not None:
            return node.step.ppm_score, node.id
        return likelihood(node), node.id

    def _wants_more(self, node: Node) -> bool:
        return node.id in self._frontier
