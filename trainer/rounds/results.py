"""What a round gives; the documents of `rstar evolve report --json`."""

from pydantic import BaseModel, ConfigDict

Interval = tuple[float, float]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Coverage(_Document):
    """Problems of one level, and those with a right solution (table 2 of the paper)."""

    problems: int
    solved: int


class Harvested(_Document):
    """All searches of a round.

    Attributes:
        folders: harvests, relative to the round's folder.
        coverage: by level of the problems; all of them under the empty name.
        tokens: new tokens of the policy.
        searches, failed: how many, and those without a result.
    """

    folders: list[str]
    coverage: dict[str, Coverage]
    tokens: int
    searches: int
    failed: int


class Selected(_Document):
    """Training rows of a round, what each rule dropped, and SHA-256 of the files by name."""

    solutions: int
    groups: int
    pairs: dict[str, int]
    dropped: dict[str, int]
    files: dict[str, str] = {}


class Trained(_Document):
    """A model and what was measured of it on held-out rows.

    Attributes:
        metrics: numbers of the training's manifest.
        reliability: (predicted, share right, solutions) of the PPM's bins.
    """

    version: str
    rows: dict[str, int]
    metrics: dict[str, float]
    reliability: list[tuple[float, float, int]] = []


class Measured(_Document):
    """A method on the held-out problems.

    Attributes:
        rules: accuracy by answer rule on the same solutions.
        levels: accuracy by level.
        run: folder of the run, for `rstar eval compare`.
    """

    n: int
    accuracy: float
    ci95: Interval
    tokens_per_problem: float
    failures: int
    rules: dict[str, float]
    levels: dict[str, float]
    run: str


class Evaluated(_Document):
    """A round's models on the held-out problems: the policy alone, with search, with its PPM."""

    policy: Measured
    unguided: Measured
    search: Measured


class Judged(_Document):
    """Whether the round's policy has taken over, and why."""

    passed: bool
    reason: str


class RoundResult(_Document):
    """A round at a glance; accuracies are shares of `n` held-out problems.

    Attributes:
        base_accuracy: of the base alone, greedily, which every round's policy is trained from.
        tokens: new tokens of the policy, in the harvest and in the evaluation.
        seconds: of the runs that finished a stage; what a killed run took is not in it.
    """

    round: int
    version: str
    n: int
    base_accuracy: float
    base_ci95: Interval
    policy_accuracy: float
    policy_ci95: Interval
    search_accuracy: float
    search_ci95: Interval
    unguided_accuracy: float
    unguided_ci95: Interval
    tokens_per_problem: float
    unguided_tokens_per_problem: float
    tokens: int
    seconds: float
    stage_seconds: dict[str, float]
    harvest: Harvested
    selection: Selected
    policy: Trained
    ppm: Trained
    evaluation: Evaluated
    gate: Judged


def round_result(
    number: int,
    base: Measured,
    seconds: dict[str, float],
    harvested: Harvested,
    selected: Selected,
    trained: tuple[Trained, Trained],
    evaluated: Evaluated,
    judged: Judged,
) -> RoundResult:
    """A round from what its stages gave; `trained` are policy and PPM."""
    policy, ppm = trained
    alone, search, unguided = evaluated.policy, evaluated.search, evaluated.unguided
    return RoundResult(
        round=number,
        version=policy.version,
        n=search.n,
        base_accuracy=base.accuracy,
        base_ci95=base.ci95,
        policy_accuracy=alone.accuracy,
        policy_ci95=alone.ci95,
        search_accuracy=search.accuracy,
        search_ci95=search.ci95,
        unguided_accuracy=unguided.accuracy,
        unguided_ci95=unguided.ci95,
        tokens_per_problem=search.tokens_per_problem,
        unguided_tokens_per_problem=unguided.tokens_per_problem,
        tokens=harvested.tokens
        + round(sum(one.n * one.tokens_per_problem for one in (alone, search, unguided))),
        seconds=round(sum(seconds.values()), 3),
        stage_seconds=seconds,
        harvest=harvested,
        selection=selected,
        policy=policy,
        ppm=ppm,
        evaluation=evaluated,
        gate=judged,
    )
