"""The laboratory's tokenizer: whole words, numbers to 99, the grammar's delimiters.

Small and closed: all that the laboratory's problems and solutions are written in, and nothing
else. A word and its leading space are one token, so that text is what its tokens say, joined.
Digits go two to a token: a number of a problem is one of a hundred tokens, and copied at once.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.common import steps as grammar
from trainer.lab.language import NAMES, SIGNS, THINGS, WORDINGS
from trainer.lab.program import LETTERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD: Final = "<pad>"
END: Final = "</s>"
UNKNOWN: Final = "<unk>"
CONTEXT_TOKENS: Final = 512

_HEAD, _TAIL = grammar.render_problem("?").split("?")
_BOX: Final = "\\boxed{"
# What the grammar always writes in one piece is one token.
_WHOLE: Final = (
    _HEAD,
    _TAIL,
    # As training wants them: each a token of its own.
    *grammar.DELIMITERS,
    "\n\n",
    "# Step",
    "print(",
    _BOX,
)
_PATTERN: Final = (
    "|".join(re.escape(text) for text in _WHOLE) + r"| ?[A-Za-z]+| ?[0-9]{1,2}| ?[^\sA-Za-z0-9]|\s"
)


def pieces(text: str) -> list[str]:
    """The text of each token."""
    return re.findall(_PATTERN, text)


def vocabulary() -> list[str]:
    """The text of every token, the special ones first."""
    found = dict.fromkeys([PAD, END, UNKNOWN, *_WHOLE, "\n", " "])
    words = " ".join(re.sub(r"\{\w+\}", " ", one.text) for one in WORDINGS)
    for word in [*re.findall(r"[A-Za-z]+|[.?]", words), *NAMES, *THINGS, *SIGNS, "print"]:
        found |= dict.fromkeys((word, f" {word}"))
    numbers = [str(one).zfill(width) for width in (1, 2) for one in range(10**width)]
    for sign in [*numbers, *LETTERS, "+", "-", "*", "/", "=", ":", ")", "(", "}", "{", "."]:
        found |= dict.fromkeys((sign, f" {sign}"))
    return list(found)


def make() -> "PreTrainedTokenizerFast":
    """The tokenizer, as transformers and vLLM use it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {text: number for number, text in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    split = pre_tokenizers.Split(Regex(_escaped_for_oniguruma(_PATTERN)), behavior="isolated")
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_TOKENS,
    )


def save(folder: Path) -> None:
    """Write it into a Hugging Face folder."""
    make().save_pretrained(folder)


def _escaped_for_oniguruma(pattern: str) -> str:
    # Python escapes line ends and spaces as a backslash before the character itself.
    return pattern.replace("\\\n", "\\n").replace("\\ ", " ")
