"""What may be asked of a search: budgets and options, with their limits and defaults."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from services.search.methods.presets import PRESETS, Method

MAX_ROLLOUTS = 10_000
MAX_TOKENS = 10_000_000
MAX_SECONDS = 3_600
MAX_RUNGS = 8
MAX_CANDIDATES = 64
MAX_DEPTH = 64
MAX_PARALLEL = 64
MAX_EXPLORATION = 100
MAX_TEMPERATURE = 2
MAX_TREES = 64
MAX_BEAM_WIDTH = 64
MAX_SEED = 2**62


class Request(BaseModel):
    """A part of a request: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def whole(value: object) -> object:
    """An integer that was written with a fraction of zero, as JSON allows."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Int = Annotated[int, Field(strict=True), BeforeValidator(whole)]
Float = Annotated[float, Field(strict=True)]
Rollouts = Annotated[int, Field(strict=True, ge=1, le=MAX_ROLLOUTS), BeforeValidator(whole)]


class Budget(Request):
    """What a search may spend; it ends when any part is spent."""

    rollouts: Int = Field(
        32, ge=1, le=MAX_ROLLOUTS, description="Walks from the root to the end of a solution."
    )
    tokens: Int = Field(4_000, ge=1, le=MAX_TOKENS, description="New tokens of the policy.")
    seconds: Float = Field(120.0, gt=0, le=MAX_SECONDS, description="Wall-clock seconds.")
    ladder: list[Rollouts] | None = Field(
        None,
        min_length=1,
        max_length=MAX_RUNGS,
        description="Rising budgets of rollouts, for example [16, 64, 128]: at each rung the "
        "search stops where its answer is confident or, with a known answer, where a right "
        "solution was found, and goes on otherwise. The last rung takes the place of `rollouts`.",
    )

    @model_validator(mode="after")
    def _ladder_rises(self) -> Self:
        if self.ladder is None:
            return self
        if any(low >= high for low, high in pairwise(self.ladder)):
            raise ValueError("ladder must rise")
        if "rollouts" not in self.model_fields_set:
            self.rollouts = self.ladder[-1]
        elif self.rollouts != self.ladder[-1]:
            raise ValueError("rollouts must be left out or equal the ladder's last rung")
        return self

    @property
    def rungs(self) -> tuple[int, ...]:
        """The budgets of rollouts, rising; only one where there is no ladder."""
        return tuple(self.ladder or (self.rollouts,))


class SearchOptions(Request):
    """The shape of a search. The method decides about some defaults."""

    method: Literal["mcts", "beam", "best_of_n", "majority", "greedy"] = Field(
        "mcts",
        description="mcts: tree search by UCT. beam: level by level, the best `beam_width` steps "
        "are kept. best_of_n, majority: independent solutions, as many as the budget has rollouts; "
        "the PPM chooses, or they vote. greedy: one solution at temperature 0.",
    )
    candidates: Int = Field(
        8,
        ge=1,
        le=MAX_CANDIDATES,
        description="Candidates drawn at each node; for best_of_n and majority, in one call. "
        "1 for greedy.",
    )
    depth: Int = Field(16, ge=1, le=MAX_DEPTH, description="Most steps of a solution.")
    exploration: Float = Field(2.0, ge=0, le=MAX_EXPLORATION, description="Constant c of UCT.")
    temperature: Float = Field(
        0.8,
        ge=0,
        le=MAX_TEMPERATURE,
        description="Softmax temperature of the policy; 0 for greedy.",
    )
    parallel: Int = Field(4, ge=1, le=MAX_PARALLEL, description="Expansions in flight at once.")
    seed: Int | None = Field(
        None, ge=0, le=MAX_SEED, description="Seed of all sampling; random where it is not given."
    )
    answer: Literal["best", "majority", "weighted"] = Field(
        "weighted",
        description="How the answer is chosen among finished solutions. The default is best for "
        "beam and best_of_n, majority for majority.",
    )
    expansion: Literal["step", "trajectory"] = Field(
        "trajectory",
        description="How far a candidate runs: one step, as in the paper, or to the end of the "
        "solution, whose steps then all become nodes. step for beam, trajectory for best_of_n, "
        "majority and greedy.",
    )
    trees: Int = Field(
        1,
        ge=1,
        le=MAX_TREES,
        description="Trees from different seeds that share the budget; their solutions vote "
        "together.",
    )
    beam_width: Int = Field(
        8, ge=1, le=MAX_BEAM_WIDTH, description="Steps that beam keeps of each level."
    )
    confidence: Float | None = Field(
        None,
        ge=0.5,
        lt=1,
        description="Stop when the probability that the answer is the one that most solutions "
        "would give has reached this; at the rungs of a ladder, 0.95 where it is not given. "
        "Not for answers chosen by best PPM score.",
    )
    guided: StrictBool = Field(
        True,
        description="Whether the PPM guides it, where one is served; without, it is led by the "
        "agreement of its answers.",
    )
    versions: Literal["floating", "pinned"] = Field(
        "floating",
        description="Which model versions are used. floating: whichever are served while it runs; "
        "the answer lists them. pinned: those that were served when it began; where one of them "
        "is gone the search fails as retryable, and never mixes.",
    )

    @model_validator(mode="after")
    def _follow_the_method(self) -> Self:
        """Fill in what the method presets; what it fixes may not be asked for otherwise."""
        preset = PRESETS[Method(self.method)]
        given = self.model_fields_set
        for name, value in {**preset.defaults, **preset.fixed}.items():
            if name not in given:
                setattr(self, name, value)
            elif name in preset.fixed and getattr(self, name) != value:
                raise ValueError(f"{name} is {value} for method {self.method}")
        return self
