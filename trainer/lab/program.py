"""From a problem's sentences to the computation that they ask for, and to the steps of a solution.

Quantities are named by letters in the order in which they are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trainer.lab.language import QUESTIONS, SIGNS, NotInLanguage, Op, Sentence

LETTERS: Final = "abcdefgh"
OPS: Final[tuple[Op, ...]] = ("add", "subtract", "multiply", "divide")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity that an earlier step has computed, by its number from 0."""

    step: int

    def __str__(self) -> str:
        return LETTERS[self.step]


Operand = int | Quantity


@dataclass(frozen=True, slots=True)
class Line:
    """One computation: a new quantity from two operands.

    Attributes:
        op, left, right: what is computed.
        told: the sentence that asks for it, which the step quotes.
    """

    op: Op
    left: Operand
    right: Operand
    told: str

    def code(self, number: int) -> str:
        """As step `number` writes it, from 0."""
        return f"{LETTERS[number]} = {self.left} {SIGNS[self.op]} {self.right}"

    def text(self, number: int) -> str:
        """The step in canonical form; `number` counts from 0, the steps of a solution from 1."""
        return f"# Step {number + 1}: {self.told}\n{self.code(number)}"

    def value(self, before: Sequence[int]) -> int:
        """What it computes; ZeroDivisionError as Python has it."""
        left, right = (
            before[one.step] if isinstance(one, Quantity) else one
            for one in (self.left, self.right)
        )
        match self.op:
            case "add":
                return left + right
            case "subtract":
                return left - right
            case "multiply":
                return left * right
            case "divide":
                return left // right


def last_step(number: int, printed: Operand) -> str:
    """The step that prints the answer and ends the code; `number` counts from 0."""
    return f"# Step {number + 1}: print\nprint({printed})"


@dataclass(frozen=True, slots=True)
class Program:
    """What a problem asks for.

    Attributes:
        lines: the computations, each of which the answer needs; at least one.
        noise: numbers of the problem that the answer does not need.
    """

    lines: tuple[Line, ...]
    noise: tuple[int, ...] = ()

    def values(self) -> list[int]:
        """The quantities, the last of them the answer."""
        found: list[int] = []
        for line in self.lines:
            found.append(line.value(found))
        return found

    @property
    def answer(self) -> int:
        """What is asked for."""
        return self.values()[-1]

    def steps(self) -> list[str]:
        """A right solution, step by step."""
        texts = [line.text(number) for number, line in enumerate(self.lines)]
        return [*texts, last_step(len(self.lines), Quantity(len(self.lines) - 1))]


def understand(sentences: Sequence[Sentence]) -> Program:
    """The program of a problem; NotInLanguage where the sentences make none."""
    reader = _Reader()
    for sentence in sentences:
        reader.read(sentence)
    if not reader.lines or not reader.asked:
        raise NotInLanguage("nothing is asked, or nothing is to be computed")
    return Program(tuple(reader.lines), tuple(reader.noise))


class _Reader:
    """Follows a story, and keeps what each person has."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.noise: list[int] = []
        self.asked = False
        self._has: dict[str, Operand] = {}
        self._last: Operand | None = None

    def read(self, said: Sentence) -> None:
        kind, op = said.wording.kind, said.wording.op
        if self.asked:
            raise NotInLanguage("something follows the question")
        if kind in QUESTIONS:
            self._ask(said)
        elif kind == "noise":
            self.noise.append(said.n)
        elif kind == "start":
            self._set(said.who, said.n)
        elif kind == "bags":
            self._compute("multiply", said.m, said.n, said)
        elif op is not None:
            before = self._last if kind == "change" else self._of(said.other)
            if before is None:
                raise NotInLanguage("something changes that was not told of")
            self._compute(op, before, said.n, said)

    def _ask(self, said: Sentence) -> None:
        self.asked = True
        if said.wording.kind == "both":
            self._compute("add", self._of(said.who), self._of(said.other), said)
        elif said.wording.kind == "more":
            self._compute("subtract", self._of(said.who), self._of(said.other), said)

    def _of(self, who: str) -> Operand:
        if who not in self._has:
            raise NotInLanguage(f"nothing is told of what {who} has")
        return self._has[who]

    def _compute(self, op: Op, left: Operand, right: Operand, said: Sentence) -> None:
        self.lines.append(Line(op, left, right, said.text()))
        # A question leaves everybody with what they had.
        self._set("" if said.wording.kind in QUESTIONS else said.who, Quantity(len(self.lines) - 1))

    def _set(self, who: str, operand: Operand) -> None:
        self._last = operand
        if who:
            self._has[who] = operand
