"""Texts as tokens: the grammar's delimiters in the vocabulary, and which tokens are learnt.

Each delimiter is one token. Spelt out it would be five or six, written and read again in every
step; and no tokenizer can then join the end of a delimiter to what follows it, so that what a model
is trained on and what serving sends it are cut into the same tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.common.steps import DELIMITERS
from trainer.training.texts import Lesson

IGNORED = -100
"""The label of a token that is given, not learnt."""


class TokenizerMismatch(ValueError):  # noqa: N818 - names the fault in what was given
    """A tokenizer cuts a solution otherwise than the prompt that it continues."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A lesson in tokens.

    Attributes:
        ids: token ids, the end of text last.
        labels: the same where a token is learnt, else IGNORED; as long as `ids`.
    """

    ids: list[int]
    labels: list[int]


def add_delimiters(tokenizer: Any) -> dict[int, list[int]]:
    """Make each delimiter of the grammar one token.

    They are no special tokens: a decoder that leaves those out would leave the grammar out.

    Args:
        tokenizer: a fast Hugging Face tokenizer; it is changed.

    Returns:
        By the id of each new token, the ids that its text was cut into before.
    """
    from tokenizers import AddedToken

    spelt = {
        text: tokenizer.encode(text, add_special_tokens=False)
        for text in DELIMITERS
        if text not in tokenizer.get_vocab()
    }
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in spelt])
    return {tokenizer.convert_tokens_to_ids(text): ids for text, ids in spelt.items()}


def encode_lesson(tokenizer: Any, lesson: Lesson) -> Encoded:
    """A solution's tokens, and those among them that the policy writes.

    Raises:
        TokenizerMismatch: the tokens of a prompt that serving will send are not the first ones of
            the solution's, or the tokenizer has no end of text.
    """
    if tokenizer.eos_token_id is None:
        raise TokenizerMismatch("the tokenizer has no end-of-text token for the policy to learn")
    encoding = tokenizer(lesson.text, add_special_tokens=True, return_offsets_mapping=True)
    ids, offsets = list(encoding["input_ids"]), encoding["offset_mapping"]
    if ids[-1] == tokenizer.eos_token_id and offsets[-1][0] == offsets[-1][1]:
        ids.pop()
    for prompt in lesson.prompts:
        given = tokenizer.encode(prompt, add_special_tokens=True)
        if ids[: len(given)] != given:
            raise TokenizerMismatch(f"the prompt {prompt[-40:]!r} is cut otherwise when continued")
    labels = [
        token if _within(offset, lesson.written) else IGNORED
        for token, offset in zip(ids, offsets, strict=False)
    ]
    end = tokenizer.eos_token_id
    return Encoded([*ids, end], [*labels, end])


def encode_judged(tokenizer: Any, text: str) -> list[int]:
    """A partial solution's tokens, as the PPM service makes them."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=True)
    return ids


def _within(offset: tuple[int, int], spans: Sequence[tuple[int, int]]) -> bool:
    start, end = offset
    return start < end and any(low <= start and end <= high for low, high in spans)
