"""From what the engine generated to a candidate: its steps, their tokens and log-probabilities."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers.decoders import DecodeStream

from services.policy.prompts import Finish, Piece


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """A step of a candidate.

    Attributes:
        text: the step in canonical form.
        tokens: new tokens spent on it.
        mean_logprob: mean natural-log probability of those tokens.
    """

    text: str
    tokens: int
    mean_logprob: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A continuation of a partial solution."""

    steps: list[ScoredStep]
    tokens: int
    finish: Finish


def token_starts(tokenizer: Any, prompt: Sequence[int], tokens: Sequence[int]) -> list[int]:
    """Where each new token begins in the new text, in characters.

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        prompt: ids before the new ones, which may decide how the first of these is spelt.
        tokens: new ids.
    """
    stream = DecodeStream(ids=list(prompt), skip_special_tokens=False)
    starts: list[int] = []
    length = 0
    for token in tokens:
        starts.append(length)
        # A token that ends within a character adds nothing until the character is whole.
        length += len(stream.step(tokenizer.backend_tokenizer, token) or "")
    return starts


def score(
    pieces: Sequence[Piece], starts: Sequence[int], logprobs: Sequence[float]
) -> list[ScoredStep]:
    """Give each token to the step in which it begins.

    What stands before the first step belongs to it, what stands between two (the delimiter) to the
    one that it ends.

    Args:
        pieces: steps in the order of the text.
        starts: where each token begins, never falling.
        logprobs: natural-log probability of each token.
    """
    firsts = [0, *(bisect.bisect_left(starts, piece.start) for piece in pieces[1:]), len(starts)]
    scored: list[ScoredStep] = []
    for piece, first, last in zip(pieces, firsts[:-1], firsts[1:], strict=True):
        own = logprobs[first:last]
        scored.append(ScoredStep(piece.text, len(own), sum(own) / len(own) if own else 0.0))
    return scored
