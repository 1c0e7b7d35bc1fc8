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
    """A round at a glance; accuracies are shares of `n` held-out problems."""

    round: int
    version: str
    n: int
    policy_accuracy: float
    policy_ci95: Interval
    search_accuracy: float
    search_ci95: Interval
    unguided_accuracy: float
    unguided_ci95: Interval
    tokens_per_problem: float
    unguided_tokens_per_problem: float
    seconds: float
    stage_seconds: dict[str, float]
    harvest: Harvested
    selection: Selected
    policy: Trained
    ppm: Trained
    evaluation: Evaluated
    gate: Judged
