"""Requests and responses of the REST API, with their limits and defaults."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_PROBLEM_CHARS = 16_384
MAX_ROLLOUTS = 10_000
MAX_TOKENS = 10_000_000
MAX_SECONDS = 3_600
MAX_CANDIDATES = 64
MAX_DEPTH = 64
MAX_PARALLEL = 64
MAX_EXPLORATION = 100
MAX_TEMPERATURE = 2
MAX_SEED = 2**62


def _readable(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode, without lone surrogates") from None
    return text


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Int = Annotated[int, Field(strict=True)]
Float = Annotated[float, Field(strict=True)]


class Budget(_Request):
    """What a search may spend; it ends when any part is spent."""

    rollouts: Int = Field(
        32, ge=1, le=MAX_ROLLOUTS, description="Walks from the root to the end of a solution."
    )
    tokens: Int = Field(4_000, ge=1, le=MAX_TOKENS, description="New tokens of the policy.")
    seconds: Float = Field(120.0, gt=0, le=MAX_SECONDS, description="Wall-clock seconds.")


class SearchOptions(_Request):
    """The shape of a search."""

    candidates: Int = Field(
        8, ge=1, le=MAX_CANDIDATES, description="Candidates drawn at each node."
    )
    depth: Int = Field(16, ge=1, le=MAX_DEPTH, description="Most steps of a solution.")
    exploration: Float = Field(2.0, ge=0, le=MAX_EXPLORATION, description="Constant c of UCT.")
    temperature: Float = Field(
        0.8, ge=0, le=MAX_TEMPERATURE, description="Softmax temperature of the policy."
    )
    parallel: Int = Field(4, ge=1, le=MAX_PARALLEL, description="Expansions in flight at once.")
    seed: Int | None = Field(
        None, ge=0, le=MAX_SEED, description="Seed of all sampling; random where it is not given."
    )
    answer: Literal["best", "majority", "weighted"] = Field(
        "weighted", description="How the answer is chosen among finished solutions."
    )
    expansion: Literal["step", "trajectory"] = Field(
        "trajectory",
        description="How far a candidate runs: one step, as in the paper, or to the end of the "
        "solution, whose steps then all become nodes.",
    )


class SolveRequest(_Request):
    """One problem, what may be spent on it, and how to search."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "problem": "A robe takes 2 bolts of blue fiber and half that much white fiber. "
                    "How many bolts in total does it take?",
                    "budget": {"rollouts": 32, "tokens": 4000, "seconds": 60},
                    "search": {"candidates": 8, "temperature": 0.8, "answer": "weighted"},
                }
            ]
        },
    )

    problem: Annotated[str, Field(strict=True), AfterValidator(_readable)] = Field(
        min_length=1, max_length=MAX_PROBLEM_CHARS, description="The problem, as text or LaTeX."
    )
    budget: Budget = Budget()
    search: SearchOptions = SearchOptions()
    stream: Annotated[bool, Field(strict=True)] = Field(
        False, description="Whether to answer with server-sent events: progress, then solution."
    )


class Step(BaseModel):
    """One step of the chosen solution."""

    text: str = Field(description="The comment that opens the step, or an answer step's text.")
    code: str = Field(description="Its Python code; empty for an answer step.")
    output: str = Field(description="What it printed.")
    q: float = Field(description="Q-value of its node, -1 to 1.")
    visits: int = Field(description="Visit count of its node.")
    ppm_score: float | None = Field(
        description="PPM score of the solution up to here, -1 to 1; null in an unguided search."
    )


class Alternative(BaseModel):
    """One of the answers that were found."""

    answer: str
    weight: float = Field(description="Its share of the weight of all answers, 0 to 1.")
    trajectories: int = Field(description="Solutions that end in it.")


class Usage(BaseModel):
    """What a search has spent."""

    rollouts: int = 0
    nodes: int = Field(0, description="Nodes of the tree, the root not counted.")
    policy_tokens: int = Field(0, description="New tokens of the policy.")
    ppm_calls: int = Field(0, description="Partial solutions scored by the PPM.")
    sandbox_runs: int = Field(0, description="Steps run in the sandbox.")
    seconds: float = Field(0.0, description="Wall-clock seconds.")


class Models(BaseModel):
    """The model versions that a search used."""

    policy: str
    ppm: str | None = Field(description="Null in an unguided search.")


class Progress(BaseModel):
    """A running search: the data of a `progress` event."""

    search_id: str
    answer: str | None
    confidence: float
    usage: Usage


class Solution(BaseModel):
    """The result of a search."""

    search_id: str
    answer: str | None = Field(description="Null where no solution was finished.")
    confidence: float = Field(description="The answer's share of the weight of all answers.")
    steps: list[Step] = Field(description="The best solution that ends in the answer.")
    alternatives: list[Alternative] = Field(description="All answers by falling weight.")
    stop_reason: Literal["rollouts", "tokens", "seconds", "confident", "exhausted", "cancelled"] = (
        Field(
            description="Which budget was spent; or confident: no rollout left could change the "
            "answer; exhausted: the tree has nothing left to explore; cancelled: by its caller."
        )
    )
    usage: Usage
    models: Models
    guided: bool = Field(
        description="Whether a PPM guided the search; otherwise it was led by the agreement of "
        "its answers."
    )


class FieldError(BaseModel):
    """One field that breaks its limit."""

    field: str
    limit: str


class Problem(BaseModel):
    """An error (RFC 9457, application/problem+json)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = Field(None, description="The fields at fault, for 422.")
    dependency: str | None = Field(None, description="What is down or too slow, for 503.")
