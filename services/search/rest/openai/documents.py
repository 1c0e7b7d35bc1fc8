"""Requests and responses of the chat completions API, as far as a search has a meaning for them."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, field_validator

from services.search.options import MAX_TOKENS, Budget, Int, SearchOptions, whole
from services.search.schemas import Alternative, SolveRequest, Usage

MODEL = "rstar"
_MAX_MESSAGES = 1_024

Tokens = Annotated[int, Field(strict=True, ge=1), BeforeValidator(whole)]


class TextPart(BaseModel):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of the conversation."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """All its text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or [])


class StreamOptions(BaseModel):
    """How to stream."""

    model_config = ConfigDict(extra="allow")

    include_usage: StrictBool = Field(False, description="Whether a last chunk tells the usage.")


class ChatRequest(BaseModel):
    """A problem as a conversation: the last user message is the problem.

    Other messages are not part of it: the policy's prompt is its own. Parameters of sampling
    (`temperature`, `top_p`, `stop`, penalties) are accepted and have no effect, since a search
    needs candidates that differ: `rstar.temperature` sets them.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "model": MODEL,
                    "messages": [{"role": "user", "content": "What is 6 * 7?"}],
                    "max_tokens": 4000,
                    "budget": {"rollouts": 16},
                    "rstar": {"answer": "majority"},
                }
            ]
        },
    )

    model: str = Field(max_length=200, description=f"`{MODEL}`.")
    messages: list[Message] = Field(min_length=1, max_length=_MAX_MESSAGES)
    stream: StrictBool | None = Field(False, description="Whether to answer in chunks.")
    stream_options: StreamOptions | None = None
    n: Int | None = Field(1, description="1: a search gives one solution.")
    max_tokens: Tokens | None = Field(
        None, description="Budget of new tokens of the whole search, as max_completion_tokens."
    )
    max_completion_tokens: Tokens | None = Field(
        None, description="Budget of new tokens of the whole search; budget.tokens goes before it."
    )
    seed: Int | None = Field(None, description="Seed of all sampling; rstar.seed goes before it.")
    budget: Budget | None = Field(None, description="What the search may spend, as in POST /solve.")
    rstar: SearchOptions | None = Field(
        None, description="How to search, as `search` in POST /solve."
    )

    @field_validator("messages")
    @classmethod
    def _has_a_problem(cls, messages: list[Message]) -> list[Message]:
        if not any(message.role == "user" for message in messages):
            raise ValueError("no user message, which would be the problem")
        return messages

    def request(self) -> SolveRequest:
        """The search that is asked for; ValidationError where the problem breaks a limit."""
        budget, search = self.budget or Budget(), self.rstar or SearchOptions()
        tokens = self.max_completion_tokens or self.max_tokens
        if tokens is not None and "tokens" not in budget.model_fields_set:
            budget = budget.model_copy(update={"tokens": min(tokens, MAX_TOKENS)})
        if self.seed is not None and self.seed >= 0 and search.seed is None:
            search = search.model_copy(update={"seed": self.seed})
        problem = [message.text for message in self.messages if message.role == "user"][-1]
        return SolveRequest.model_validate(
            {"problem": problem, "budget": budget.model_dump(), "search": search.model_dump()}
        )


class ChatUsage(BaseModel):
    """Tokens. Those of prompts are not counted: the policy tells new ones alone."""

    prompt_tokens: int = 0
    completion_tokens: int = Field(description="New tokens of all candidates of the search.")
    total_tokens: int


class SearchResult(BaseModel):
    """What a completion does not tell of its search."""

    search_id: str
    answer: str | None
    confidence: float
    alternatives: list[Alternative]
    stop_reason: str
    usage: Usage


class Reply(BaseModel):
    """The assistant's message."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    """The one choice."""

    index: int = 0
    message: Reply
    logprobs: None = None
    finish_reason: Literal["stop", "length"] = Field(
        description="length: the budget was spent before any solution was finished."
    )


class ChatCompletion(BaseModel):
    """A solution as a completion: its steps, and the answer in a last \\boxed{}."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    rstar: SearchResult


class Delta(BaseModel):
    """What a chunk adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """The one choice of a chunk."""

    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None = None


class Chunk(BaseModel):
    """A piece of a streamed completion."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    rstar: SearchResult | None = None


class Model(BaseModel):
    """A model of the list."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["rstar"] = "rstar"


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class Error(BaseModel):
    """An error of the API below /v1."""

    error: ErrorBody
