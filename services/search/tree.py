"""The search tree of rStar-Math (arXiv 2501.04519, section 3.3): pure, no I/O, no clock.

Four phases in two calls::

    trial = tree.ask()                    # select: a node to expand, its path marked in flight
    event = tree.tell(trial.id, ...)      # expand, evaluate, backup; idempotent by trial id

The tree is a fold over the events that `tell` returns: `Tree.replay` rebuilds it from them. Trials
may be told in any order: ids are hashes of content, values are summed as integers, and a node is
expanded by one trial at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.search.node import ROOT_ID, UNITS, Node, Outcome, StepResult, child_id, uct


class Expansion(StrEnum):
    """How far a candidate runs when a node is expanded."""

    STEP = "step"
    """One step, as in the paper; the rollout goes on from the best child until it reaches an
    answer, a dead end or the depth limit. A candidate that fails costs its parent nothing."""
    TRAJECTORY = "trajectory"
    """To the end of the solution, whose steps all become nodes. Each candidate is a rollout."""


class Guidance(StrEnum):
    """What values mean."""

    PPM = "ppm"
    """Each node starts with its PPM score as one visit (equation 3), and a solution backs up the
    score of its last step."""
    CONSISTENCY = "consistency"
    """Without a PPM: a solution is worth 2p - 1, where p is the share of all solutions so far that
    agree with its answer; it changes as answers come in."""
    GROUND_TRUTH = "ground_truth"
    """Terminal-guided (equation 2), for making training data: +1 for a right answer, -1 for a wrong
    one."""


@dataclass(frozen=True, slots=True)
class TreeConfig:
    """The shape of a search.

    Attributes:
        candidates: candidates drawn at each node.
        depth: most steps of a solution.
        exploration: c of UCT; 2 in the paper.
        expansion: see Expansion.
        guidance: see Guidance.
    """

    candidates: int
    depth: int
    exploration: float
    expansion: Expansion
    guidance: Guidance


@dataclass(frozen=True, slots=True)
class Candidate:
    """One continuation proposed at a node: its steps, up to the first that failed."""

    steps: tuple[StepResult, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """A request to expand a node.

    Attributes:
        id: counts up from 0.
        rollout: the rollout that it belongs to.
        node_id: the node to expand.
        count: candidates wanted, at least 1.
    """

    id: int
    rollout: int
    node_id: str
    count: int


@dataclass(frozen=True, slots=True)
class Expanded:
    """The event of a trial told: all that the tree's state depends on."""

    trial: int
    rollout: int
    node_id: str
    count: int
    candidates: tuple[Candidate, ...]


class Tree:
    """A Monte Carlo tree search over reasoning steps. Not thread-safe; every call is immediate."""

    def __init__(self, config: TreeConfig) -> None:
        self.config = config
        self.root = Node(ROOT_ID)
        self.nodes: dict[str, Node] = {ROOT_ID: self.root}
        self.rollouts = 0
        self._trials: dict[int, Trial] = {}
        self._told: set[int] = set()
        self._next_trial = 0
        self._next_rollout = 0
        self._root_barren = False
        """Whether the last expansion of the root brought nothing that was not known."""
        self._walks: dict[int, Node] = {}
        """Rollouts under way (Expansion.STEP): where each stands between two trials."""

    @classmethod
    def replay(cls, config: TreeConfig, events: Iterable[Expanded]) -> "Tree":
        """The tree that these events made, with nothing in flight."""
        tree = cls(config)
        for event in events:
            tree._apply(event)
        return tree

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to explore."""
        return self.root.closed

    @property
    def in_flight(self) -> int:
        """Trials asked and not yet told or forgotten."""
        return len(self._trials)

    def terminals(self) -> Iterator[Node]:
        """The nodes that end a solution with an answer."""
        return (node for node in self.nodes.values() if node.outcome is Outcome.TERMINAL)

    def q(self, node: Node) -> float:
        """Q-value of a node, -1 to 1: the mean value of the rollouts through it; 0 with none."""
        if node.visits == 0:
            return 0.0
        units = node.value_units
        if self.config.guidance is Guidance.CONSISTENCY and node.votes:
            total = self.root.votes.total()
            agreeing = sum(n * self.root.votes[answer] for answer, n in node.votes.items())
            return (2 * agreeing / total - node.votes.total() + units / UNITS) / node.visits
        return units / UNITS / node.visits

    # ---- select -------------------------------------------------------------------------------

    def ask(self, max_count: int | None = None) -> Trial | None:
        """Select a node to expand and mark its path in flight.

        Args:
            max_count: most candidates that the caller can afford; at least 1.

        Returns:
            A trial; None while all that is left is in flight, or when the tree is exhausted.
        """
        for rollout, start in sorted(self._walks.items(), key=lambda item: item[0]):
            if start.closed:
                del self._walks[rollout]
            elif (node := self._select(start)) is not None:
                del self._walks[rollout]
                return self._begin(node, rollout, max_count)
        if (node := self._select(self.root)) is None:
            return None
        self._next_rollout += 1
        return self._begin(node, self._next_rollout - 1, max_count)

    def _begin(self, node: Node, rollout: int, max_count: int | None) -> Trial:
        # The root may be asked for another round when it has had all its candidates.
        wanted = self.config.candidates - node.draws % self.config.candidates
        count = wanted if max_count is None else max(1, min(wanted, max_count))
        trial = Trial(self._next_trial, rollout, node.id, count)
        self._next_trial += 1
        self._trials[trial.id] = trial
        node.expanding = True
        for above in node.ancestry():
            above.in_flight += self._expected_rollouts(trial)
        return trial

    def _expected_rollouts(self, trial: Trial) -> int:
        return trial.count if self.config.expansion is Expansion.TRAJECTORY else 1

    def _select(self, start: Node) -> Node | None:
        """The best node at or below `start` that can be expanded now; depth first in UCT order."""
        stack = [start]
        while stack:
            node = stack.pop()
            if node.closed:
                continue
            if not node.expanding and self._wants_more(node):
                return node
            # The best child is popped first; the others wait in case nothing below it is free.
            stack.extend(sorted(node.children.values(), key=self._rank))
        return None

    def _rank(self, node: Node) -> tuple[float, str]:
        parent = node.parent
        above = parent.visits + parent.in_flight if parent else 0
        score = uct(self.q(node), node.visits + node.in_flight, above, self.config.exploration)
        return score, node.id

    # ---- expand, evaluate, backup -------------------------------------------------------------

    def tell(self, trial_id: int, candidates: Sequence[Candidate]) -> Expanded | None:
        """Expand the trial's node with what the policy, sandbox and PPM made of it, and back up.

        Returns:
            The event to log; None where this trial was told before or forgotten.
        """
        trial = self._release(trial_id)
        if trial is None:
            return None
        event = Expanded(trial.id, trial.rollout, trial.node_id, trial.count, tuple(candidates))
        self._apply(event)
        return event

    def forget(self, trial_id: int) -> None:
        """Take back a trial that will never be told, and its rollout; unknown ones are ignored."""
        self._release(trial_id)

    def _release(self, trial_id: int) -> Trial | None:
        trial = self._trials.pop(trial_id, None)
        if trial is None:
            return None
        node = self.nodes[trial.node_id]
        node.expanding = False
        for above in node.ancestry():
            above.in_flight -= self._expected_rollouts(trial)
        return trial

    def _apply(self, event: Expanded) -> None:
        if event.trial in self._told:
            return
        self._told.add(event.trial)
        self._next_trial = max(self._next_trial, event.trial + 1)
        self._next_rollout = max(self._next_rollout, event.rollout + 1)
        node = self.nodes[event.node_id]
        known = len(self.nodes)
        # A call that was cut short is made up for later; one that brought nothing is not repeated.
        node.draws += len(event.candidates) or event.count
        leaves = [self._graft(node, candidate) for candidate in event.candidates]
        if node is self.root:
            self._root_barren = len(self.nodes) == known
        if self.config.expansion is Expansion.TRAJECTORY:
            self.rollouts += len(event.candidates)
            for leaf in leaves:
                self._backup(leaf)
        else:
            self._advance(event.rollout, node, leaves)
        for leaf in (node, *leaves):
            self._settle(leaf)

    def _graft(self, node: Node, candidate: Candidate) -> Node:
        """Add a candidate's steps below a node, merged with those that are there; its last node."""
        at = node
        for step in candidate.steps:
            if self._too_deep(at) and not at.awaits_answer:
                break
            if at is not node:
                at.draws += 1
            at = self._child(at, step)
            at.samples += 1
        return at

    def _child(self, parent: Node, step: StepResult) -> Node:
        identity = child_id(parent.id, step.text, step.ends_code)
        if identity in parent.children:
            return parent.children[identity]
        child = Node(identity, parent, step, parent.depth + 1)
        if self.config.guidance is Guidance.PPM and step.ppm_score is not None:
            child.visits = 1
            child.value_units = round(step.ppm_score * UNITS)
        parent.children[identity] = child
        self.nodes[identity] = child
        return child

    def _reward(self, leaf: Node) -> float:
        """Value of a rollout that ended at `leaf`, -1 to 1, beyond its vote."""
        if leaf.step is None or leaf.outcome is not Outcome.TERMINAL:
            return -1.0
        if self.config.guidance is Guidance.PPM:
            return leaf.step.ppm_score or 0.0
        if self.config.guidance is Guidance.GROUND_TRUTH:
            return 1.0 if leaf.step.correct else -1.0
        return 0.0

    def _backup(self, leaf: Node) -> None:
        units = round(self._reward(leaf) * UNITS)
        answer = leaf.step.answer if leaf.step and leaf.outcome is Outcome.TERMINAL else None
        for node in leaf.ancestry():
            node.visits += 1
            node.value_units += units
            if answer is not None:
                node.votes[answer] += 1

    def _advance(self, rollout: int, node: Node, leaves: Sequence[Node]) -> None:
        """Back up what a step of a rollout reached, and end the rollout or let it go on."""
        terminal = [leaf for leaf in leaves if leaf.outcome is Outcome.TERMINAL]
        for leaf in terminal:
            self._backup(leaf)
        if not terminal and not all(self._is_end(leaf) for leaf in leaves):
            self._walks[rollout] = node
            return
        self._walks.pop(rollout, None)
        self.rollouts += 1
        if not terminal:
            self._backup(node)

    def _too_deep(self, node: Node) -> bool:
        return node.depth >= self.config.depth

    def _is_end(self, node: Node) -> bool:
        """Whether no step can follow, whatever the policy says."""
        return node.outcome is not Outcome.OPEN or node.awaits_answer or self._too_deep(node)

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
            and all(child.closed for child in node.children.values())
        )

    def _settle(self, leaf: Node) -> None:
        """Recompute from a node upwards whether anything is left to explore."""
        for node in leaf.ancestry():
            node.closed = self._is_end(node) or (
                not self._wants_more(node) and all(child.closed for child in node.children.values())
            )
