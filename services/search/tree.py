"""A search tree of rStar-Math (arXiv 2501.04519, section 3.3): pure, no I/O, no clock.

Four phases in two calls::

    trial = tree.ask()                    # select: a node to expand, its path marked in flight
    event = tree.tell(trial.id, ...)      # expand, evaluate, backup; idempotent by trial id

The tree is a fold over the events that `tell` returns: applying them again rebuilds it. Trials may
be told in any order: ids are hashes of content and values are summed as integers.

What is common to all methods is here. A method (services.search.methods) says which node comes
next and what a rollout is.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.search.answer import Ballot
from services.search.node import ROOT_ID, UNITS, Node, Outcome, StepResult, child_id


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
    """Each open node starts with its PPM score as one visit (equation 3), and a solution backs up
    the score of its last step."""
    CONSISTENCY = "consistency"
    """Without a PPM: a solution is worth 2p - 1, where p is the share of all solutions of its tree
    so far that agree with its answer; it changes as answers come in."""
    GROUND_TRUTH = "ground_truth"
    """Terminal-guided, for making training data: a solution is worth +1 where its answer is right,
    -1 where it is wrong (equation 2). Where a PPM scores the steps, nodes start with its scores
    (equation 3), as in the paper's rounds 3 and 4."""


@dataclass(frozen=True, slots=True)
class TreeConfig:
    """The shape of a tree.

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

    def __post_init__(self) -> None:
        """ValueError for a shape that no tree can have, as a damaged log may hold it."""
        if self.candidates < 1 or self.depth < 1 or not 0 <= self.exploration < math.inf:
            raise ValueError("candidates and depth must be at least 1, exploration at least 0")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One continuation proposed at a node: its steps, up to the first that failed."""

    steps: tuple[StepResult, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """A request to expand a node.

    Attributes:
        id: unique over all trees of a search.
        rollout: the rollout of its tree that it belongs to.
        node_id: the node to expand.
        count: candidates wanted, at least 1.
        tree: which of the search's trees.
    """

    id: int
    rollout: int
    node_id: str
    count: int
    tree: int = 0


@dataclass(frozen=True, slots=True)
class Expanded:
    """The event of a trial told: all that the trees' state depends on."""

    trial: int
    rollout: int
    node_id: str
    count: int
    candidates: tuple[Candidate, ...]
    tree: int = 0


class EventError(ValueError):
    """An event that does not belong to the tree that it is applied to."""


class Tree(ABC):
    """A tree of reasoning steps. Not thread-safe; every call is immediate.

    A call costs time in proportion to the depth and width of the path that it touches (and, with
    Guidance.CONSISTENCY, to the different answers below it), whatever the size of the tree.
    """

    def __init__(self, config: TreeConfig, ballot: Ballot, index: int = 0, trees: int = 1) -> None:
        """Args:
        config: its shape.
        ballot: where its solutions vote.
        index: which of `trees` trees this is; its trials are numbered index, index + trees, ...
        """
        self.config = config
        self.ballot = ballot
        self.index = index
        self.root = Node(ROOT_ID)
        self.nodes: dict[str, Node] = {ROOT_ID: self.root}
        self.rollouts = 0
        self._stride = trees
        self._trials: dict[int, Trial] = {}
        self._told: set[int] = set()
        self._next_trial = index
        self._next_rollout = 0

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to explore."""
        return self.root.closed

    @property
    def in_flight(self) -> int:
        """Trials asked and not yet told or forgotten."""
        return len(self._trials)

    def q(self, node: Node) -> float:
        """Q-value of a node, -1 to 1: the mean value of the rollouts through it; 0 with none."""
        if node.visits == 0:
            return 0.0
        units = node.value_units
        if self.config.guidance is Guidance.CONSISTENCY and node.votes:
            all_votes = self.root.votes
            total, own, agreeing = sum(all_votes.values()), 0, 0
            for answer, votes in node.votes.items():
                own += votes
                agreeing += votes * all_votes[answer]
            return (2 * agreeing / total - own + units / UNITS) / node.visits
        return units / UNITS / node.visits

    # ---- select -------------------------------------------------------------------------------

    def ask(self, max_count: int | None = None) -> Trial | None:
        """Select a node to expand and mark its path in flight.

        Args:
            max_count: most candidates that the caller can afford; at least 1.

        Returns:
            A trial; None while all that is left is in flight, or when the tree is exhausted.
        """
        if (selected := self._select()) is None:
            return None
        node, rollout = selected
        wanted = self._wanted(node)
        count = wanted if max_count is None else max(1, min(wanted, max_count))
        trial = Trial(self._next_trial, rollout, node.id, count, self.index)
        self._next_trial += self._stride
        self._next_rollout = max(self._next_rollout, rollout + 1)
        self._trials[trial.id] = trial
        node.expanding += 1
        self._count_in_flight(trial, node, 1)
        return trial

    @abstractmethod
    def _select(self) -> tuple[Node, int] | None:
        """The node to expand next, and the rollout that expands it; None where there is none."""

    def _wanted(self, node: Node) -> int:
        """Candidates to draw at a node that is selected."""
        # A node may be given another round when it has had all its candidates.
        return self.config.candidates - node.draws % self.config.candidates

    def _count_in_flight(self, trial: Trial, node: Node, sign: int) -> None:
        rollouts = trial.count if self.config.expansion is Expansion.TRAJECTORY else 1
        for above in node.ancestry():
            above.in_flight += sign * rollouts
        self._settle(node)

    # ---- expand, evaluate, backup -------------------------------------------------------------

    def tell(self, trial_id: int, candidates: Sequence[Candidate]) -> Expanded | None:
        """Expand the trial's node with what the policy, sandbox and PPM made of it, and back up.

        Returns:
            The event to log; None where this trial was told before or forgotten.
        """
        trial = self._release(trial_id)
        if trial is None:
            return None
        event = Expanded(
            trial.id, trial.rollout, trial.node_id, trial.count, tuple(candidates), self.index
        )
        self.apply(event)
        return event

    def forget(self, trial_id: int) -> None:
        """Take back a trial that will never be told; unknown ones are ignored."""
        self._release(trial_id)

    def _release(self, trial_id: int) -> Trial | None:
        trial = self._trials.pop(trial_id, None)
        if trial is None:
            return None
        node = self.nodes[trial.node_id]
        node.expanding -= 1
        self._count_in_flight(trial, node, -1)
        return trial

    def apply(self, event: Expanded) -> None:
        """Fold one event in, live or from a log; one that was folded in before changes nothing.

        Raises:
            EventError: it expands a node that the tree does not have.
        """
        if event.trial in self._told:
            return
        if (node := self.nodes.get(event.node_id)) is None:
            raise EventError(f"trial {event.trial}: no node {event.node_id!r} in the tree")
        self._told.add(event.trial)
        self._next_trial = max(self._next_trial, event.trial + self._stride)
        self._next_rollout = max(self._next_rollout, event.rollout + 1)
        known = len(self.nodes)
        # A call that was cut short is made up for later; one that brought nothing is not repeated.
        node.draws += len(event.candidates) or event.count
        leaves = [self._graft(node, candidate) for candidate in event.candidates]
        self._grow(event, node, leaves, len(self.nodes) - known)
        for leaf in leaves:
            self._settle(leaf, node)
        self._settle(node)

    def _graft(self, node: Node, candidate: Candidate) -> Node:
        """Add a candidate's steps below a node, merged with those that are there; its last node."""
        at = node
        for step in candidate.steps:
            if at.outcome is not Outcome.OPEN or (self._too_deep(at) and not at.awaits_answer):
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
        if step.ppm_score is not None and step.outcome is Outcome.OPEN:
            child.visits = 1
            child.value_units = round(step.ppm_score * UNITS)
        parent.children[identity] = child
        self.nodes[identity] = child
        return child

    @abstractmethod
    def _grow(self, event: Expanded, node: Node, leaves: Sequence[Node], fresh: int) -> None:
        """Count and back up the rollouts that ended with this expansion.

        Args:
            event: what is folded in.
            node: the node that was expanded.
            leaves: the last node of each candidate.
            fresh: nodes that were not known before.
        """

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
                node.votes[answer] = node.votes.get(answer, 0) + 1
        if answer is not None:
            self.ballot.cast(leaf, self.index)

    def _too_deep(self, node: Node) -> bool:
        return node.depth >= self.config.depth

    def _is_end(self, node: Node) -> bool:
        """Whether no step can follow, whatever the policy says."""
        return node.outcome is not Outcome.OPEN or node.awaits_answer or self._too_deep(node)

    def _is_alive(self, leaf: Node, node: Node) -> bool:
        """Whether a candidate drawn at `node` brought a step that can be followed."""
        return leaf is not node and not self._is_end(leaf)

    @abstractmethod
    def _wants_more(self, node: Node) -> bool:
        """Whether more candidates may be drawn at a node where steps can follow."""

    def _may_expand(self, node: Node) -> bool:
        """Whether a node may be expanded now: it wants more, and no trial is at it."""
        return not node.expanding and self._wants_more(node)

    def _settle(self, node: Node, top: Node | None = None) -> None:
        """Recompute upwards what is closed and free: up to `top`, and on while anything changes."""
        at: Node | None = node
        is_forced = top is not None
        while at is not None:
            open_below, is_end = at.open_children > 0, self._is_end(at)
            closed = is_end or (not open_below and not self._wants_more(at))
            free = not closed and (at.free_children > 0 or self._may_expand(at))
            has_changed = at.mark(closed=closed, free=free)
            is_forced = is_forced and at is not top
            if not has_changed and not is_forced:
                return
            at = at.parent
