"""A scripted world for tests of the trees: what the policy would say at each node."""

import random

from services.search.forest import Forest, ForestConfig
from services.search.methods.presets import Method
from services.search.node import Outcome, StepResult
from services.search.tree import (
    Candidate,
    Expanded,
    Expansion,
    Guidance,
    Tree,
    TreeConfig,
    Trial,
)

OUTCOMES = (Outcome.OPEN, Outcome.OPEN, Outcome.OPEN, Outcome.TERMINAL, Outcome.FAILED)

_TREE_FIELDS = frozenset(TreeConfig.__slots__)


def config(**changes: object) -> ForestConfig:
    """A small search's shape, with fields of the forest and of its trees changed."""
    shape: dict[str, object] = {
        "candidates": 3,
        "depth": 4,
        "exploration": 1.4,
        "expansion": Expansion.TRAJECTORY,
        "guidance": Guidance.CONSISTENCY,
        "method": Method.MCTS,
    } | changes
    if shape["method"] is Method.BEAM:
        shape["expansion"] = Expansion.STEP
    elif shape["method"] is not Method.MCTS:
        shape["expansion"] = Expansion.TRAJECTORY
    shape.setdefault("guided", shape["guidance"] is Guidance.PPM)
    of_tree = {name: value for name, value in shape.items() if name in _TREE_FIELDS}
    of_forest = {name: value for name, value in shape.items() if name not in _TREE_FIELDS}
    return ForestConfig(TreeConfig(**of_tree), **of_forest)  # type: ignore[arg-type]  # by name


def forest(**changes: object) -> Forest:
    """A forest of that shape."""
    return Forest(config(**changes))


def tree_of(grown: Forest) -> Tree:
    """The only tree of a forest."""
    (tree,) = grown.trees
    return tree


def step(text: str, outcome: Outcome = Outcome.OPEN, **fields: object) -> StepResult:
    """A step that ran, or what else became of it."""
    return StepResult(text, outcome, **fields)  # type: ignore[arg-type]  # fields by name


def answered(text: str, answer: str, **fields: object) -> StepResult:
    """A step that ends a solution."""
    return step(text, Outcome.TERMINAL, ends_code=True, answer=answer, **fields)


def chain(*steps: StepResult) -> Candidate:
    """A candidate of these steps."""
    return Candidate(steps)


def ask(grown: Forest, max_count: int | None = None) -> Trial:
    """The next trial, which there must be."""
    trial = grown.ask(max_count)
    assert trial is not None
    return trial


def told(grown: Forest, *candidates: Candidate) -> Trial:
    """Ask for a trial and tell it these candidates."""
    trial = ask(grown)
    grown.tell(trial.id, candidates)
    return trial


class World:
    """A policy, sandbox and PPM whose replies depend on node, trial and seed alone."""

    def __init__(self, seed: int, shape: ForestConfig, *, letters: str = "abcdefgh") -> None:
        self._seed = seed
        self._shape = shape
        self._letters = letters

    def reply(self, trial: Trial) -> list[Candidate]:
        """The candidates of a trial; now and then fewer than it asked for."""
        rng = random.Random(f"{self._seed}/{trial.node_id}/{trial.id}")
        count = trial.count if rng.random() < 0.9 else rng.randint(0, trial.count)
        return [self._candidate(rng) for _ in range(count)]

    def _candidate(self, rng: random.Random) -> Candidate:
        if rng.random() < 0.05:
            return Candidate(())
        is_step = self._shape.tree.expansion is Expansion.STEP
        most = 1 if is_step else rng.randint(1, 6)
        steps: list[StepResult] = []
        while len(steps) < most:
            steps.append(self._step(rng))
            if steps[-1].outcome is not Outcome.OPEN:
                break
        return Candidate(tuple(steps))

    def _step(self, rng: random.Random) -> StepResult:
        # The outcome is a function of the text, as a real sandbox's is of the code.
        letter = rng.choice(self._letters)
        place = self._letters.index(letter)
        outcome = OUTCOMES[place % len(OUTCOMES)]
        is_terminal = outcome is Outcome.TERMINAL
        is_scored = self._shape.guided and outcome in (Outcome.OPEN, Outcome.TERMINAL)
        return StepResult(
            text=f"# Step: {letter}",
            outcome=outcome,
            ends_code=is_terminal,
            tokens=10 + place,
            mean_logprob=-0.1 * (place % 7),
            ppm_score=2 * place / len(self._letters) - 0.9 if is_scored else None,
            answer=letter if is_terminal else None,
            correct=letter == "d" if is_terminal else None,
        )


def batch(grown: Forest, parallel: int) -> list[Trial]:
    """Up to so many trials in flight at once."""
    return [trial for _ in range(parallel) if (trial := grown.ask()) is not None]


def grow(grown: Forest, world: World, trials: int, parallel: int = 1) -> list[Expanded]:
    """Run up to so many trials, `parallel` in flight at once; the events."""
    events: list[Expanded] = []
    while len(events) < trials and (asked := batch(grown, parallel)):
        for trial in asked:
            event = grown.tell(trial.id, world.reply(trial))
            assert event is not None
            events.append(event)
    return events


def snapshot(grown: Forest) -> list[object]:
    """Everything that a forest knows, independent of the order in which it came to know it."""
    return [*map(_tree, grown.trees), _ballot(grown)]


def _tree(tree: Tree) -> dict[str, object]:
    known = ("index", "rollouts", "_told", "_root_barren", "_places")
    state: dict[str, object] = {name: getattr(tree, name, None) for name in known}
    for name in ("_frontier", "_walks", "_reached"):
        nodes = getattr(tree, name, {})
        # A rollout that has nothing left to explore is dropped when it is next looked at.
        state[name] = {
            key: node.id for key, node in nodes.items() if name != "_walks" or not node.closed
        }
    return state | {
        node.id: (
            node.parent.id if node.parent else None,
            node.step,
            (node.depth, node.draws, node.samples, node.expanding),
            (node.closed, node.free, node.open_children, node.free_children),
            (node.visits, node.in_flight, node.value_units, dict(node.votes)),
            frozenset(node.children),
        )
        for node in tree.nodes.values()
    }


def _ballot(grown: Forest) -> object:
    ballot = grown.ballot
    places = [one and one.answer for one in (ballot.leader, ballot.second)]
    return (
        places,
        ballot.solved,
        [
            (
                (one.answer, one.trajectories, one.sum_units, one.best_units),
                (one.best and one.best.id, one.best_tree),
            )
            for one in ballot.ranked()
        ],
    )
