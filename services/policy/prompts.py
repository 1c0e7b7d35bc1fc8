"""Prompt styles: how a problem and its partial solution are put to a model, and its reply is read.

A model's manifest names its style. `bare` is the trajectory grammar itself, for a model that was
trained on it. `few_shot_chat` is for an instruct model that never saw it: worked examples in a
chat, the reply continued inside an open Python block whose steps begin with `# Step k:`.

Pure text: offsets are in characters of the text that the model wrote.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from services.common import steps as grammar
from services.common.models.manifest import PromptStyle
from services.common.steps import END_OF_ANSWER, END_OF_CODE, END_OF_STEP, Step
from services.policy.examples import EXAMPLES, SYSTEM

Chat = Callable[[list[dict[str, str]]], str]

FENCE = "```"
_NEXT_STEP = "\n# Step"
_BARE_MARKER = re.compile(r"# Step[ \d]*:?")
_SAMPLE = "What is 1 + 1?"
_NUMBER = re.compile(r"^# Step (\d{1,6})\b", re.MULTILINE)


class Finish(Enum):
    """Why a candidate ended; named as in the contract's FinishReason."""

    STEP = auto()
    CODE = auto()
    ANSWER = auto()
    LENGTH = auto()


class AnswerSource(Enum):
    """Where the answer of a finished solution stands; named as in the contract."""

    OUTPUT = auto()
    TEXT = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """One step of a reply.

    Attributes:
        start: where it begins in the text that the model wrote.
        text: the step in canonical form.
    """

    start: int
    text: str


class Style(Protocol):
    """How one kind of model is asked. `steps` is always the partial solution before the reply."""

    name: PromptStyle
    answer_source: AnswerSource
    special_tokens: bool
    """Whether the tokenizer adds its special tokens; where not, the prompt spells them out."""

    def continues(self, steps: Sequence[Step]) -> str | None:
        """Why no model can continue these steps; None where it can."""
        ...

    def prompt(self, problem: str, steps: Sequence[Step]) -> str:
        """What the model is to continue."""
        ...

    def stops(self, steps: Sequence[Step], max_steps: int) -> list[str]:
        """Texts at which the engine stops; it leaves them out of the reply."""
        ...

    def end_of(self, text: str, max_steps: int) -> int | None:
        """Where a growing reply has `max_steps` whole steps; None while it has fewer."""
        ...

    def split(self, steps: Sequence[Step], text: str) -> list[Piece]:
        """The steps of a reply; none where it is blank."""
        ...

    def finish(self, steps: Sequence[Step], stop: str | None) -> Finish:
        """Why a reply ended that was stopped at `stop`, or by the model's end of text (None)."""
        ...


def style_of(name: PromptStyle, chat: Chat) -> Style:
    """The style of this name; `chat` renders messages up to where the assistant's turn opens."""
    return Bare() if name == "bare" else FewShotChat(chat)


def version_of(style: Style) -> str:
    """Name and hash of how a style puts problems; it changes when prompts do."""
    first = style.prompt(_SAMPLE, ())
    second = style.prompt(_SAMPLE, (Step("# Step 1: Add them\nprint(1 + 1)", True, "2"),))
    digest = hashlib.sha256(f"{first}\n{second}".encode()).hexdigest()
    return f"{style.name}-{digest[:8]}"


class Bare:
    """The trajectory grammar of services.common.steps."""

    name: PromptStyle = "bare"
    answer_source = AnswerSource.TEXT
    special_tokens = True

    def continues(self, steps: Sequence[Step]) -> str | None:
        """Code may be followed by one answer, and an answer by nothing."""
        if any(step.ends_code for step in steps[:-1]):
            return "the solution has its answer already"
        return None

    def prompt(self, problem: str, steps: Sequence[Step]) -> str:
        """The text up to where the next step, or the answer, begins."""
        return grammar.render_prompt(problem, steps)

    def stops(self, steps: Sequence[Step], max_steps: int) -> list[str]:
        """The delimiters that end what is asked for."""
        if _code_ended(steps):
            return [END_OF_ANSWER]
        return [END_OF_CODE, END_OF_STEP] if max_steps == 1 else [END_OF_CODE]

    def end_of(self, text: str, max_steps: int) -> int | None:
        """Where delimiter number `max_steps` ends."""
        ends = [match.end() for match in re.finditer(re.escape(END_OF_STEP), text)]
        return ends[max_steps - 1] if len(ends) >= max_steps else None

    def split(self, steps: Sequence[Step], text: str) -> list[Piece]:
        """Cut at the delimiters; an answer is one step."""
        pieces: list[Piece] = []
        start = 0
        for part in [text] if _code_ended(steps) else text.split(END_OF_STEP):
            if canonical := plain(part).strip("\n").rstrip():
                pieces.append(Piece(start, canonical))
            start += len(part) + len(END_OF_STEP)
        return pieces

    def finish(self, steps: Sequence[Step], stop: str | None) -> Finish:
        """A model that ends its text has ended what it was writing."""
        if stop == END_OF_STEP:
            return Finish.STEP
        return Finish.ANSWER if _code_ended(steps) else Finish.CODE


class FewShotChat:
    """Worked examples in a chat, then the problem, then the solution's open Python block.

    The block always ends in the next step's `# Step k:`. The model had decided to write it when it
    was stopped there, so it is not asked again; what it writes is the rest of that step.
    """

    name: PromptStyle = "few_shot_chat"
    answer_source = AnswerSource.OUTPUT
    special_tokens = False

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._examples = worked_examples()

    def continues(self, steps: Sequence[Step]) -> str | None:
        """Nothing follows the code."""
        return "the code is ended" if any(step.ends_code for step in steps) else None

    def prompt(self, problem: str, steps: Sequence[Step]) -> str:
        """The chat up to `# Step k:`, after which a step's title begins with a space."""
        head = self._chat([*self._examples, {"role": "user", "content": problem.strip()}])
        program = "".join(f"{step.text.strip(chr(10))}\n" for step in steps)
        return f"{head}{FENCE}python\n{program}{marker(steps)}"

    def stops(self, steps: Sequence[Step], max_steps: int) -> list[str]:
        """The block's end and, for a single step, the next one's marker."""
        return [FENCE, _NEXT_STEP] if max_steps == 1 else [FENCE]

    def end_of(self, text: str, max_steps: int) -> int | None:
        """Where the marker that ends step number `max_steps` begins."""
        starts = [match.start() for match in re.finditer(re.escape(_NEXT_STEP), text)]
        return starts[max_steps - 1] if len(starts) >= max_steps else None

    def split(self, steps: Sequence[Step], text: str) -> list[Piece]:
        """Cut at the markers; the first step gets back the one that the prompt wrote for it."""
        if not text.strip():
            return []
        opening = marker(steps)
        whole = opening + plain(text)
        pieces: list[Piece] = []
        start = 0
        for step in grammar.split_steps(whole):
            start = whole.index(step, start)
            if not _BARE_MARKER.fullmatch(step):
                pieces.append(Piece(max(0, start - len(opening)), step))
            start += len(step)
        return pieces

    def finish(self, steps: Sequence[Step], stop: str | None) -> Finish:
        """A model that ends its text has ended the block."""
        return Finish.STEP if stop == _NEXT_STEP else Finish.CODE


def worked_examples() -> list[dict[str, str]]:
    """The beginning of a chat: what is wanted, and each example as a problem and its program."""
    chat = [{"role": "system", "content": SYSTEM}]
    for example in EXAMPLES:
        chat.append({"role": "user", "content": example.problem})
        chat.append({"role": "assistant", "content": block(example.program)})
    return chat


def block(program: str) -> str:
    """A program as a Python block."""
    return f"{FENCE}python\n{program}\n{FENCE}"


def _code_ended(steps: Sequence[Step]) -> bool:
    return bool(steps) and steps[-1].ends_code


def next_number(steps: Sequence[Step]) -> int:
    """One more than the last number that the steps before bear."""
    numbers = [int(n) for step in steps for n in _NUMBER.findall(step.text)]
    return (numbers[-1] if numbers else len(steps)) + 1


def marker(steps: Sequence[Step]) -> str:
    """The next step's opening."""
    return f"# Step {next_number(steps)}:"


def plain(text: str) -> str:
    """Text without delimiters, also without those that appear when others are taken out."""
    while (less := grammar.clean(text)) != text:
        text = less
    return text
