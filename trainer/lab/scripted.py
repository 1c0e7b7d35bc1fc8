"""The scripted solver: solves laboratory problems with a known error rate; pure.

It plays the stronger model that bootstraps the first round: each step is wrong with a probability
that rises with the number of computations. Its mistakes are those that a model makes: another
operation, operands in the wrong order, a number that does not belong there, another quantity, or
the end too early. After a mistake it goes on as if nothing had happened.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trainer.lab.language import NotInLanguage, read
from trainer.lab.program import OPS, Line, Operand, Program, Quantity, last_step, understand
from trainer.lab.tokenizer import pieces


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """How often a step is wrong.

    Attributes:
        first: in a problem of one computation.
        each: added for every further one.
    """

    first: float = 0.06
    each: float = 0.05

    def of(self, level: int) -> float:
        """The rate for a problem of so many computations."""
        return min(0.9, self.first + self.each * (level - 1))


@dataclass(frozen=True, slots=True)
class Written:
    """A step that the solver wrote.

    Attributes:
        text: in canonical form.
        ends_code: whether it ends the solution.
        tokens: in the laboratory's tokens.
        mean_logprob: mean natural-log probability of those tokens under the solver's own choice.
    """

    text: str
    ends_code: bool
    tokens: int
    mean_logprob: float


Slip = Callable[[random.Random, Program, int], Line | None]
"""A mistake in computation k of a program; None where it cannot be made there."""


def solve(
    problem: str, before: int, most: int, seed: int, temperature: float, rates: ErrorRates
) -> list[Written]:
    """A continuation of a solution that has `before` steps.

    Args:
        problem: the problem.
        before: steps that are there, whatever stands in them.
        most: steps to write at most; 0 for all that are left.
        seed: of its mistakes: the same call gives the same steps.
        temperature: 0 makes no mistakes.
        rates: how often a step is wrong.

    Raises:
        NotInLanguage: the problem is not of the laboratory.
    """
    program = understand(read(problem))
    rng = random.Random(f"{seed}/{before}/{problem}")  # noqa: S311 - no secret
    rate = rates.of(len(program.lines)) if temperature > 0 else 0.0
    written: list[Written] = []
    number = before
    while not (written and written[-1].ends_code) and not (most and len(written) >= most):
        written.append(_step(program, number, rng, rate))
        number += 1
    return written


def _step(program: Program, number: int, rng: random.Random, rate: float) -> Written:
    is_wrong = rng.random() < rate
    chance = rate if is_wrong else 1 - rate
    text, ends = _wrong(program, number, rng) if is_wrong else _right(program, number)
    tokens = len(pieces(text)) + 1
    return Written(text, ends, tokens, math.log(max(chance, 1e-6)) / tokens)


def _right(program: Program, number: int) -> tuple[str, bool]:
    last = len(program.lines)
    if number < last:
        return program.lines[number].text(number), False
    return last_step(number, Quantity(last - 1)), True


def _wrong(program: Program, number: int, rng: random.Random) -> tuple[str, bool]:
    """A step with a mistake in it; the right one where there is none to make."""
    if number >= len(program.lines):
        # Print another quantity than the last.
        others = len(program.lines) - 1
        if others == 0:
            return _right(program, number)
        return last_step(number, Quantity(rng.randrange(others))), True
    if number > 0 and rng.random() < _EARLY_SHARE:
        return last_step(number, Quantity(number - 1)), True
    slips = list(SLIPS)
    rng.shuffle(slips)
    for slip in slips:
        line = slip(rng, program, number)
        if line is not None:
            return line.text(number), False
    return _right(program, number)


_EARLY_SHARE: Final = 0.15


def _other_operation(rng: random.Random, program: Program, number: int) -> Line | None:
    line = program.lines[number]
    return replace(line, op=rng.choice([op for op in OPS if op != line.op]))


def _wrong_order(rng: random.Random, program: Program, number: int) -> Line | None:
    line = program.lines[number]
    if line.op not in {"subtract", "divide"}:
        return None
    return replace(line, left=line.right, right=line.left)


def _other_number(rng: random.Random, program: Program, number: int) -> Line | None:
    line = program.lines[number]
    if not isinstance(line.right, int):
        return None
    numbers = [*program.noise, *_numbers(program.lines)]
    others = [one for one in numbers if one != line.right]
    # What does not matter is what one falls for first.
    others = [one for one in program.noise if one != line.right] or others
    return replace(line, right=rng.choice(others)) if others else None


def _other_quantity(rng: random.Random, program: Program, number: int) -> Line | None:
    line = program.lines[number]
    if not isinstance(line.left, Quantity):
        return None
    others: list[Operand] = [Quantity(i) for i in range(number) if i != line.left.step]
    return replace(line, left=rng.choice(others)) if others else None


def _numbers(lines: Sequence[Line]) -> list[int]:
    return [one for line in lines for one in (line.left, line.right) if isinstance(one, int)]


SLIPS: Final[tuple[Slip, ...]] = (_other_operation, _wrong_order, _other_number, _other_quantity)

__all__ = ["ErrorRates", "NotInLanguage", "Written", "solve"]
