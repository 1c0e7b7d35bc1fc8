"""A scripted world for tests of the tree: what the policy would say at each node."""

import random

from services.search.node import Outcome, StepResult
from services.search.tree import Candidate, Expansion, Guidance, Tree, TreeConfig, Trial

OUTCOMES = (Outcome.OPEN, Outcome.OPEN, Outcome.OPEN, Outcome.TERMINAL, Outcome.FAILED)


def config(**changes: object) -> TreeConfig:
    """A small tree's shape."""
    shape: dict[str, object] = {
        "candidates": 3,
        "depth": 4,
        "exploration": 1.4,
        "expansion": Expansion.TRAJECTORY,
        "guidance": Guidance.CONSISTENCY,
    }
    return TreeConfig(**(shape | changes))  # type: ignore[arg-type]  # fields by name


def step(text: str, outcome: Outcome = Outcome.OPEN, **fields: object) -> StepResult:
    """A step that ran, or what else became of it."""
    return StepResult(text, outcome, **fields)  # type: ignore[arg-type]  # fields by name


def answered(text: str, answer: str, **fields: object) -> StepResult:
    """A step that ends a solution."""
    return step(text, Outcome.TERMINAL, ends_code=True, answer=answer, **fields)


class World:
    """A policy, sandbox and PPM whose replies depend on node, trial and seed alone."""

    def __init__(self, seed: int, tree_config: TreeConfig) -> None:
        self._seed = seed
        self._config = tree_config

    def reply(self, trial: Trial) -> list[Candidate]:
        """The candidates of a trial."""
        rng = random.Random(f"{self._seed}/{trial.node_id}/{trial.id}")
        return [self._candidate(rng) for _ in range(trial.count)]

    def _candidate(self, rng: random.Random) -> Candidate:
        if rng.random() < 0.05:
            return Candidate(())
        most = 1 if self._config.expansion is Expansion.STEP else rng.randint(1, 6)
        steps: list[StepResult] = []
        while len(steps) < most:
            steps.append(self._step(rng))
            if steps[-1].outcome is not Outcome.OPEN:
                break
        return Candidate(tuple(steps))

    def _step(self, rng: random.Random) -> StepResult:
        # The outcome is a function of the text, as a real sandbox's is of the code.
        letter = rng.choice("abcdefgh")
        outcome = OUTCOMES["abcdefgh".index(letter) % len(OUTCOMES)]
        is_terminal = outcome is Outcome.TERMINAL
        return StepResult(
            text=f"# Step: {letter}",
            outcome=outcome,
            ends_code=is_terminal,
            ppm_score="abcdefgh".index(letter) / 4 - 0.9,
            answer=letter if is_terminal else None,
            correct=letter == "d" if is_terminal else None,
        )


def grow(tree: Tree, world: World, trials: int, parallel: int = 1) -> list[object]:
    """Run up to so many trials, `parallel` in flight at once; the events."""
    events: list[object] = []
    while len(events) < trials:
        batch = [trial for _ in range(parallel) if (trial := tree.ask()) is not None]
        if not batch:
            break
        events += [tree.tell(trial.id, world.reply(trial)) for trial in batch]
    return events


def snapshot(tree: Tree) -> dict[str, tuple[object, ...]]:
    """Everything that a tree knows, independent of the order of its nodes."""
    return {
        node.id: (
            node.parent.id if node.parent else None,
            node.step,
            node.depth,
            node.draws,
            node.samples,
            node.closed,
            node.visits,
            node.in_flight,
            node.value_units,
            dict(node.votes),
            frozenset(node.children),
        )
        for node in tree.nodes.values()
    } | {"": (tree.rollouts, tree._root_barren)}
