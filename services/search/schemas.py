"""Requests and responses of the REST API, with their limits and defaults."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.search.options import Budget, Request, SearchOptions

MAX_PROBLEM_CHARS = 16_384


def _readable(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode, without lone surrogates") from None
    return text


class SolveRequest(Request):
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
        min_length=1,
        max_length=MAX_PROBLEM_CHARS,
        json_schema_extra={"pattern": r"\S"},
        description="The problem, as text or LaTeX.",
    )
    budget: Budget = Budget()
    search: SearchOptions = SearchOptions()
    ground_truth: Annotated[str, Field(strict=True), AfterValidator(_readable)] | None = Field(
        None,
        max_length=MAX_PROBLEM_CHARS,
        json_schema_extra={"pattern": r"\S"},
        description="The known answer, for making training data: solutions are then worth +1 where "
        "they agree with it and -1 where they do not, and no agreement among them ends the search.",
    )


class SolveCall(SolveRequest):
    """A request to solve, and how its result is to be delivered: at most one of the two."""

    stream: Annotated[bool, Field(strict=True)] = Field(
        False, description="Whether to answer with server-sent events: progress, then solution."
    )
    is_async: Annotated[bool, Field(strict=True)] = Field(
        False,
        alias="async",
        description="Whether to answer at once, with 202 and the place of the search.",
    )

    @model_validator(mode="after")
    def _one_delivery(self) -> Self:
        if self.stream and self.is_async:
            raise ValueError("stream and async exclude each other")
        return self

    def request(self) -> SolveRequest:
        """What is to be solved."""
        fields = {name: getattr(self, name) for name in SolveRequest.model_fields}
        return SolveRequest.model_construct(**fields)


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
    policy_tokens: int = Field(0, description="New tokens of the policy in finished candidates.")
    cut_tokens: int = Field(
        0,
        description="New tokens of candidates that were cut off at the end of the search, "
        "estimated from how long they were under way.",
    )
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
    stop_reason: Literal[
        "rollouts", "tokens", "seconds", "confident", "solved", "exhausted", "cancelled"
    ] = Field(
        description="Which budget was spent; or confident: nothing left could change the answer, "
        "or its posterior passed the threshold; solved: the known answer was found by the end of a "
        "rung; exhausted: nothing is left to explore; cancelled: by its caller."
    )
    usage: Usage
    models: Models
    guided: bool = Field(
        description="Whether a PPM guided the search; otherwise it was led by the agreement of "
        "its answers."
    )
    trace_id: str | None = Field(
        None,
        exclude_if=lambda trace: trace is None,
        description="OpenTelemetry's id of the trace of its search; absent where none is kept.",
    )


class FieldError(BaseModel):
    """One field that breaks its limit."""

    field: str
    limit: str


class Problem(BaseModel):
    """An error (RFC 9457, application/problem+json)."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = Field(None, description="The fields at fault, for 422.")
    dependency: str | None = Field(None, description="What is down or too slow, for 503.")
    search_id: str | None = Field(None, description="The search that it is about, where one is.")
    violated_policies: list[str] | None = Field(
        None,
        alias="violated-policies",
        description="The quotas of RateLimit-Policy that are used up, for 429.",
    )
    trace_id: str | None = Field(
        None, description="OpenTelemetry's id of the request's trace, where one is kept."
    )

    def document(self) -> dict[str, object]:
        """It as JSON, without what does not apply."""
        return self.model_dump(mode="json", exclude_none=True)
