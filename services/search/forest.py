"""All trees of one search behind the calls of one tree; pure.

Several trees from different seeds spread a budget over independent searches of one problem, as the
paper does for hard problems (round 4) and in its evaluation with many trajectories. Their solutions
vote together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.search.answer import AnswerRule, Ballot
from services.search.methods.beam import Beam
from services.search.methods.mcts import Mcts
from services.search.methods.presets import PRESETS, Method
from services.search.methods.sampling import Sampling
from services.search.node import Node, StepResult
from services.search.tree import Candidate, EventError, Expanded, Tree, TreeConfig, Trial

# Far above what may be asked for: keeps a damaged log from planting without end.
_MOST_TREES = 1_000


@dataclass(frozen=True, slots=True)
class ForestConfig:
    """The shape of a search.

    Attributes:
        tree: the shape of each tree.
        method: how the trees grow.
        answer: how the answer is chosen among the solutions of all trees.
        trees: number of trees, at least 1.
        beam_width: steps that Method.BEAM keeps of each level.
        guided: whether a PPM scores the steps.
    """

    tree: TreeConfig
    method: Method = Method.MCTS
    answer: AnswerRule = AnswerRule.WEIGHTED
    trees: int = 1
    beam_width: int = 8
    guided: bool = False

    def __post_init__(self) -> None:
        """ValueError for a shape that no search can have, as a damaged log may hold it."""
        if not 1 <= self.trees <= _MOST_TREES or self.beam_width < 1:
            raise ValueError(f"trees must be 1 to {_MOST_TREES}, beam_width at least 1")


class Forest:
    """The trees of one search. Not thread-safe; every call is immediate."""

    def __init__(self, config: ForestConfig) -> None:
        self.config = config
        self.ballot = Ballot(config.answer, scored=config.guided)
        self.trees = tuple(self._plant(index) for index in range(config.trees))

    @classmethod
    def replay(cls, config: ForestConfig, events: Iterable[Expanded]) -> "Forest":
        """The forest that these events made, with nothing in flight."""
        forest = cls(config)
        for event in events:
            forest.apply(event)
        return forest

    def _plant(self, index: int) -> Tree:
        config = self.config
        match config.method:
            case Method.MCTS:
                return Mcts(config.tree, self.ballot, index, config.trees)
            case Method.BEAM:
                return Beam(config.tree, self.ballot, index, config.trees, width=config.beam_width)
            case Method.BEST_OF_N | Method.MAJORITY | Method.GREEDY:
                samples = PRESETS[config.method].samples
                return Sampling(config.tree, self.ballot, index, config.trees, samples=samples)

    @property
    def rollouts(self) -> int:
        """Rollouts done in all trees."""
        return sum(tree.rollouts for tree in self.trees)

    @property
    def size(self) -> int:
        """Nodes of all trees, the roots not counted."""
        return sum(len(tree.nodes) - 1 for tree in self.trees)

    @property
    def in_flight(self) -> int:
        """Trials asked and not yet told or forgotten."""
        return sum(tree.in_flight for tree in self.trees)

    @property
    def exhausted(self) -> bool:
        """Whether no tree has anything left to explore."""
        return all(tree.exhausted for tree in self.trees)

    def ask(self, max_count: int | None = None) -> Trial | None:
        """A trial of the tree that has had the least of the budget; see Tree.ask."""
        for tree in sorted(self.trees, key=_rollouts_under_way):
            if (trial := tree.ask(max_count)) is not None:
                return trial
        return None

    def tell(self, trial_id: int, candidates: Sequence[Candidate]) -> Expanded | None:
        """See Tree.tell."""
        return self._tree_of(trial_id).tell(trial_id, candidates)

    def forget(self, trial_id: int) -> None:
        """See Tree.forget."""
        self._tree_of(trial_id).forget(trial_id)

    def apply(self, event: Expanded) -> None:
        """See Tree.apply."""
        if not 0 <= event.tree < len(self.trees):
            raise EventError(f"trial {event.trial}: no tree {event.tree}")
        self.trees[event.tree].apply(event)

    def node(self, trial: Trial) -> Node:
        """The node that a trial expands."""
        return self.trees[trial.tree].nodes[trial.node_id]

    def known(self, node_id: str) -> StepResult | None:
        """What became of a step in any tree; the same steps before it have the same result."""
        for tree in self.trees:
            if (node := tree.nodes.get(node_id)) is not None:
                return node.step
        return None

    def best_solution(self) -> list[tuple[Node, float]]:
        """The best solution that ends in the answer, step by step, with the Q-values of its nodes.

        It is the one with the highest PPM score or, without a PPM, the likeliest; empty while there
        is no answer.
        """
        leader = self.ballot.leader
        if leader is None or leader.best is None:
            return []
        tree = self.trees[self.best_tree]
        return [(node, tree.q(node)) for node in leader.best.path()]

    @property
    def best_tree(self) -> int:
        """The tree of the best solution; 0 while there is no answer."""
        leader = self.ballot.leader
        return leader.best_tree if leader else 0

    def _tree_of(self, trial_id: int) -> Tree:
        return self.trees[trial_id % len(self.trees)]


def _rollouts_under_way(tree: Tree) -> tuple[int, int]:
    return tree.rollouts + tree.root.in_flight, tree.index
