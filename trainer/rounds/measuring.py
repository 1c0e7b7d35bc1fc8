"""A round's models on held-out problems: the policy alone, with search, and with its PPM."""

from pathlib import Path
from typing import Any

from trainer.evaluation.evaluate import Evaluation, Watcher, evaluate
from trainer.evaluation.methods import Method
from trainer.evaluation.suites import Source
from trainer.evaluation.summary import Summary
from trainer.rounds.config import EvolveConfig
from trainer.rounds.results import Measured
from trainer.rounds.services import Serving

PATIENCE_SECONDS = 120.0


class MeasuringFailed(Exception):  # noqa: N818 - what happened
    """Some problems gave no result, so that rounds cannot be compared; they are tried again."""


def methods(config: EvolveConfig, *names: str) -> list[Method]:
    """Methods by name, with the budget and options that all rounds share.

    `greedy` is the policy alone, `unguided` its search without the PPM, `guided` that with it.
    """
    search = config.evaluation.search
    tree = {"method": "mcts", **search.options}
    made = {
        "greedy": Method(
            "greedy",
            {"rollouts": 1, "tokens": search.tokens, "seconds": search.seconds},
            {"method": "greedy", "guided": False},
            config.seed,
        ),
        "unguided": Method("mcts", search.budget, {**tree, "guided": False}, config.seed),
        "guided": Method("mcts", search.budget, tree, config.seed),
    }
    return [made[name] for name in names]


async def measure(
    config: EvolveConfig, serving: Serving, out: Path, watcher: Watcher, *names: str
) -> dict[str, Measured]:
    """What methods reach with the models that are served, by name.

    Args:
        config: of the evolution.
        serving: the services, and the versions that must answer.
        out: folder of the runs.
        watcher: is told how far they are.
        names: of `methods`; all of them use the PPM, or none.

    Raises:
        MeasuringFailed: the services gave no result for some problems.
        BadProblems, ServiceAbsent, RunStopped, RunError: as trainer.evaluation does.
    """
    problems = config.evaluation.problems
    summaries = await evaluate(
        Evaluation(
            sources=[Source(problems.file.stem, problems.file)],
            methods=methods(config, *names),
            out=out,
            target=serving.target,
            limit=problems.limit,
            concurrency=config.evaluation.concurrency,
            patience_seconds=PATIENCE_SECONDS,
            models=serving.models,
        ),
        watcher,
    )
    for one in summaries:
        if one.failures:
            raise MeasuringFailed(f"{one.failures} of {one.n} problems gave no result: {one.out}")
    return {name: measured(one) for name, one in zip(names, summaries, strict=True)}


def measured(summary: Summary) -> Measured:
    """A run's summary, as far as rounds are compared by it."""
    return Measured(
        n=summary.n,
        accuracy=summary.accuracy,
        ci95=summary.ci95,
        tokens_per_problem=summary.policy_tokens_per_problem,
        failures=summary.failures,
        rules={name: one.accuracy for name, one in summary.rules.items()},
        levels={one.level: one.accuracy for one in summary.by_level},
        run=summary.out,
    )


def settings_of(config: EvolveConfig) -> dict[str, Any]:
    """All that decides about an evaluation, as JSON."""
    return config.evaluation.model_dump(mode="json", exclude={"concurrency"})
