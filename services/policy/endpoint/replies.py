"""What a server answers, as far as candidates need it, and what a candidate has cost."""

import math
from itertools import accumulate
from typing import Any, Final

import grpc
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from services.common import rpc
from services.policy.candidates import Candidate, score
from services.policy.endpoint.reading import Reading

_MOST_TOKENS: Final = 2**24

CHARS_A_TOKEN: Final = 3
"""Of text whose tokens nobody has counted: about what Python takes of common tokenizers."""


class _Message(BaseModel):
    content: str | None = None


class Choice(BaseModel):
    """One candidate of a reply; fields of the API that are not named are left aside."""

    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = Field(
        None,
        validation_alias=AliasChoices("stop_reason", "matched_stop"),
        description="The text it stopped at, as vLLM or SGLang names it.",
    )
    logprobs: Any = None

    @property
    def written(self) -> str:
        """What the model wrote, in either API."""
        return self.text or (self.message and self.message.content) or ""


class _Usage(BaseModel):
    completion_tokens: int | None = Field(None, ge=0, le=_MOST_TOKENS)


class Reply(BaseModel):
    """A reply of /chat/completions or /completions."""

    choices: list[Choice] = Field(min_length=1)
    usage: _Usage | None = None


def parse(body: Any) -> Reply:
    """Raises StatusError UNAVAILABLE for what is no such reply."""
    try:
        return Reply.model_validate(body)
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise rpc.StatusError(
            grpc.StatusCode.UNAVAILABLE, f"the endpoint's reply: {place}: {fault['msg']}"
        ) from None


def token_counts(reply: Reply) -> list[int]:
    """New tokens of each choice.

    Counted where the log-probabilities of each token came. Else the server's total, which is of all
    choices, shared out by their lengths. Else an estimate: a token for every CHARS_A_TOKEN.
    """
    counted = [_logprobs(choice) for choice in reply.choices]
    total = (reply.usage and reply.usage.completion_tokens) or 0
    if len(reply.choices) == 1 and total:
        return [total]
    known = [len(pairs) for pairs in counted if pairs]
    if len(known) == len(counted):
        return known
    lengths = [len(choice.written) for choice in reply.choices]
    if not total:
        return [math.ceil(length / CHARS_A_TOKEN) for length in lengths]
    # Cumulated, so that the parts add up to the total whatever is rounded.
    weights = lengths if any(lengths) else [1] * len(lengths)
    ends = [round(total * end / sum(weights)) for end in accumulate(weights)]
    return [end - before for before, end in zip([0, *ends[:-1]], ends, strict=True)]


def candidate(choice: Choice, tokens: int, reading: Reading) -> Candidate:
    """A candidate of a choice that took so many tokens.

    Each step gets the tokens that begin in it, what stands before the first among these; without
    log-probabilities, a share by length, and 0 as their mean.
    """
    if not reading.pieces:
        return Candidate([], tokens, reading.finish)
    text = choice.written
    pairs = _logprobs(choice)
    if pairs:
        lengths = [len(token) for token, _ in pairs]
        starts = [min(end, len(text)) for end in accumulate(lengths[:-1], initial=0)]
        values = [value for _, value in pairs]
    else:
        starts = [index * len(text) // tokens for index in range(tokens)]
        values = [0.0] * tokens
    steps = score(reading.pieces, starts, values)[: reading.kept]
    return Candidate(steps, tokens, reading.finish)


def _logprobs(choice: Choice) -> list[tuple[str, float]]:
    """Each token with its natural-log probability, as either API has it; empty where it is not."""
    given = choice.logprobs if isinstance(choice.logprobs, dict) else {}
    content, tokens = given.get("content"), given.get("tokens")
    pairs: list[tuple[Any, Any]] = []
    if isinstance(content, list):
        pairs = [(one.get("token"), one.get("logprob")) for one in content if isinstance(one, dict)]
    elif isinstance(tokens, list) and isinstance(given.get("token_logprobs"), list):
        pairs = list(zip(tokens, given["token_logprobs"], strict=False))
    good = all(
        isinstance(token, str) and isinstance(value, int | float) and math.isfinite(value)
        for token, value in pairs
    )
    return [(token, min(float(value), 0.0)) for token, value in pairs] if good else []
