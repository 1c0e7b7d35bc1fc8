"""Independent samples: whole solutions drawn at the root, as many as the budget has rollouts."""

from collections.abc import Sequence

from services.search.answer import Ballot
from services.search.node import Node
from services.search.tree import Expanded, Tree, TreeConfig


class Sampling(Tree):
    """A tree whose root alone is expanded, by any number of trials at once.

    Equal beginnings of solutions still share their nodes, and with them their runs and scores.
    """

    def __init__(
        self,
        config: TreeConfig,
        ballot: Ballot,
        index: int = 0,
        trees: int = 1,
        *,
        samples: int | None = None,
    ) -> None:
        """`samples`: most solutions to draw; None for as many as are asked for."""
        super().__init__(config, ballot, index, trees)
        self._samples = samples
        self._settle(self.root)

    def _select(self) -> tuple[Node, int] | None:
        return (self.root, self._next_rollout) if self.root.free else None

    def _wanted(self, node: Node) -> int:
        left = None if self._samples is None else self._samples - node.draws - node.in_flight
        return self.config.candidates if left is None else min(self.config.candidates, left)

    def _grow(self, event: Expanded, node: Node, leaves: Sequence[Node], fresh: int) -> None:
        # Samples that never came are spent, or a policy that sends none would be asked for ever.
        self.rollouts += len(leaves) or event.count
        for leaf in leaves:
            self._backup(leaf)

    def _wants_more(self, node: Node) -> bool:
        return node is self.root and (self._samples is None or node.draws < self._samples)

    def _may_expand(self, node: Node) -> bool:
        return self._wants_more(node) and (
            self._samples is None or node.draws + node.in_flight < self._samples
        )
