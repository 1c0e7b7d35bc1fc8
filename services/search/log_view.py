"""Folds a search's log, entry by entry, into what pages show of it."""

from itertools import islice

from services.common.steps import split_comment
from services.search.forest import Forest
from services.search.node import UNITS, Node, child_id
from services.search.store.entry import Entry
from services.search.store.events import (
    Failed,
    Finished,
    LogError,
    Started,
    TrialTold,
    Waits,
)
from services.search.tree import EventError, Expanded, Tree
from services.search.views import (
    NodeSeconds,
    NodeUpdate,
    NodeView,
    StartedEvent,
    TreeView,
    TrialEvent,
)


class LogView:
    """What a log says up to the last entry that was folded in.

    Attributes:
        search_id: the search.
        last: id of that entry; "0" before the first.
    """

    def __init__(self, search_id: str) -> None:
        self.search_id = search_id
        self.last = "0"
        self._forest: Forest | None = None
        self._waits: dict[tuple[int, str], Waits] = {}

    def fold(self, entry: Entry) -> StartedEvent | TrialEvent | None:
        """Take the next entry; what it brought, None for the last one of a log. LogError."""
        self.last = entry.id
        match entry.event:
            case Started() as started:
                return self._start(started)
            case TrialTold() as told:
                return self._tell(told)
            case Finished() | Failed():
                return None

    def skip(self, entry: Entry) -> None:
        """Take the next entry without saying what it brought. LogError."""
        if isinstance(entry.event, TrialTold):
            self.last = entry.id
            self._apply(entry.event)
        else:
            self.fold(entry)

    def tree(self) -> TreeView:
        """The tree as it stands."""
        best = set(self._best())
        nodes = [
            self._node(tree, node, node in best)
            for tree in self._grown().trees
            for node in tree.nodes.values()
        ]
        return TreeView(search_id=self.search_id, event=self.last, nodes=nodes)

    def _start(self, started: Started) -> StartedEvent:
        self._forest = Forest(started.config)
        return StartedEvent(
            search_id=self.search_id,
            at=started.at,
            problem=started.request.problem,
            budget=started.request.budget,
            search=started.request.search,
            seed=started.seed,
            ppm=started.ppm,
        )

    def _tell(self, told: TrialTold) -> TrialEvent:
        forest, expanded = self._grown(), told.expanded
        size = forest.size
        self._apply(told)
        tree = forest.trees[expanded.tree]
        best = self._best()
        fresh = list(islice(reversed(tree.nodes.values()), forest.size - size))[::-1]
        return TrialEvent(
            search_id=self.search_id,
            at=told.at,
            trial=expanded.trial,
            rollout=expanded.rollout,
            node_id=expanded.node_id,
            tree=tree.index,
            nodes=[self._node(tree, node, node in best) for node in fresh],
            updates=[_update(tree, node) for node in _touched(tree, expanded)],
            best=[node.id for node in best],
            best_tree=forest.best_tree,
            progress=told.progress,
        )

    def _apply(self, told: TrialTold) -> None:
        try:
            self._grown().apply(told.expanded)
        except EventError as error:
            raise LogError(str(error)) from error
        # A trial that was told before changes nothing, and so was not looked at.
        if told.expanded.node_id not in self._grown().trees[told.expanded.tree].nodes:
            raise LogError(f"trial {told.expanded.trial}: no node {told.expanded.node_id!r}")
        for identity, waits in told.waits.items():
            # A later trial that draws the same step has not made the node.
            self._waits.setdefault((told.expanded.tree, identity), waits)

    def _grown(self) -> Forest:
        if self._forest is None:
            raise LogError("the log does not begin with a started event")
        return self._forest

    def _best(self) -> list[Node]:
        """The best solution so far, its first step first."""
        return [node for node, _ in self._grown().best_solution()]

    def _node(self, tree: Tree, node: Node, is_best: bool) -> NodeView:
        step = node.step
        above = node.parent.step if node.parent else None
        # What follows the end of the code is the written answer, not a comment and code.
        is_answer = above is not None and above.ends_code
        text = step.text if step else ""
        comment, code = (text, "") if is_answer else split_comment(text)
        return NodeView(
            id=node.id,
            tree=tree.index,
            parent=node.parent.id if node.parent else None,
            depth=node.depth,
            text=comment,
            code=code,
            output=step.output if step else "",
            error=step.error if step else "",
            outcome=node.outcome.value,
            q=tree.q(node),
            visits=node.visits,
            ppm_score=step.ppm_score if step else None,
            tokens=step.tokens if step else 0,
            mean_logprob=step.mean_logprob if step else 0.0,
            answer=step.answer if step else None,
            policy=step.policy if step else "",
            ppm=step.ppm if step else "",
            seconds=self._seconds(tree, node),
            best=is_best,
        )

    def _seconds(self, tree: Tree, node: Node) -> NodeSeconds | None:
        waits = self._waits.get((tree.index, node.id))
        if waits is None:
            return None
        return NodeSeconds(policy=waits.policy, sandbox=waits.sandbox, ppm=waits.ppm)


def _update(tree: Tree, node: Node) -> NodeUpdate:
    return NodeUpdate(
        id=node.id,
        tree=tree.index,
        visits=node.visits,
        q=tree.q(node),
        value=node.value_units / UNITS,
        votes=dict(node.votes),
    )


def _touched(tree: Tree, expanded: Expanded) -> list[Node]:
    """The nodes whose counts a trial may have changed, the root first."""
    node = tree.nodes[expanded.node_id]
    found = {above.id: above for above in reversed(node.ancestry())}
    for candidate in expanded.candidates:
        at: Node | None = node
        for step in candidate.steps:
            at = at.children.get(child_id(at.id, step.text, step.ends_code)) if at else None
            if at is None:
                break
            found[at.id] = at
    return list(found.values())
