"""Monte Carlo tree search by UCT (rStar-Math, section 3.3 and equations 1 to 3)."""

import math
from collections.abc import Sequence

from services.search.answer import Ballot
from services.search.node import Node, Outcome, uct
from services.search.tree import Expanded, Expansion, Tree, TreeConfig, Trial


class Mcts(Tree):
    """A tree whose best node by UCT is expanded next; a node is expanded by one trial at a time."""

    def __init__(self, config: TreeConfig, ballot: Ballot, index: int = 0, trees: int = 1) -> None:
        super().__init__(config, ballot, index, trees)
        self._root_barren = False
        """Whether the last expansion of the root brought nothing that was not known."""
        self._walks: dict[int, Node] = {}
        """Rollouts that a step has not ended (Expansion.STEP): the node that it expanded."""
        self._walking: set[int] = set()
        """Rollouts with a trial in flight."""
        self._settle(self.root)

    def _select(self) -> tuple[Node, int] | None:
        for rollout, start in sorted(self._walks.items(), key=lambda item: item[0]):
            if start.closed:
                del self._walks[rollout]
            elif rollout not in self._walking and (node := self._descend(start)) is not None:
                return self._walk(node, rollout)
        if (node := self._descend(self.root)) is None:
            return None
        return self._walk(node, self._next_rollout)

    def _walk(self, node: Node, rollout: int) -> tuple[Node, int]:
        self._walking.add(rollout)
        return node, rollout

    def _release(self, trial_id: int) -> Trial | None:
        if (trial := super()._release(trial_id)) is not None:
            self._walking.discard(trial.rollout)
        return trial

    def _descend(self, start: Node) -> Node | None:
        """Follow the best free child from `start` to a node that can be expanded now."""
        if not start.free:
            return None
        node = start
        while not self._may_expand(node):
            node = self._best_child(node)
        return node

    def _best_child(self, node: Node) -> Node:
        log_visits = math.log(max(node.visits + node.in_flight, 1))
        exploration = self.config.exploration
        scored = (
            (uct(self.q(child), child.visits + child.in_flight, log_visits, exploration), child.id)
            for child in node.children.values()
            if child.free
        )
        return node.children[max(scored)[1]]

    def _grow(self, event: Expanded, node: Node, leaves: Sequence[Node], fresh: int) -> None:
        if node is self.root:
            self._root_barren = not fresh
        if self.config.expansion is Expansion.TRAJECTORY:
            self.rollouts += len(leaves)
            for leaf in leaves:
                self._backup(leaf)
        else:
            self._advance(event.rollout, node, leaves)

    def _advance(self, rollout: int, node: Node, leaves: Sequence[Node]) -> None:
        """Back up what a step of a rollout reached, and end the rollout or let it go on."""
        terminal = [leaf for leaf in leaves if leaf.outcome is Outcome.TERMINAL]
        for leaf in terminal:
            self._backup(leaf)
        is_alive = node.open_children > 0 or any(self._is_alive(leaf, node) for leaf in leaves)
        if not terminal and is_alive:
            self._walks[rollout] = node
            return
        self._walks.pop(rollout, None)
        self.rollouts += 1
        if all(self._is_failure(child) for child in node.children.values()):
            self._backup(node)

    def _is_failure(self, node: Node) -> bool:
        return node.outcome is not Outcome.TERMINAL and self._is_end(node)

    def _wants_more(self, node: Node) -> bool:
        """Whether more candidates may be drawn at an open node.

        Where solutions are short, all that began with the first candidates is soon closed. Rather
        than leave a budget unspent, whole trajectories go on from the root, for as long as that
        brings anything new.
        """
        if node.draws < self.config.candidates:
            return True
        return (
            node is self.root
            and self.config.expansion is Expansion.TRAJECTORY
            and not self._root_barren
            and not node.open_children
        )
