"""Generated word problems of graded difficulty, the same for the same seed.

A problem of level k takes k computations, each of which the answer needs. Problems for evaluation
differ from those for training in their numbers (two first numbers that training never shows
together) and in their templates (an order of wordings that training never shows).
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from trainer.lab.language import NAMES, THINGS, Op, Sentence, Wording, fill, wordings
from trainer.lab.program import OPS, Program, understand
from trainer.problems.problem import Problem

LEVELS: Final = range(1, 7)
MAX_VALUE: Final = 99
_MOST_NOISE: Final = {1: 0, 2: 1, 3: 1, 4: 1, 5: 2, 6: 2}
_SMALL: Final = range(2, 10)
_FIRST: Final = range(10, 100)
_TRIES: Final = 10_000

Split = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True)
class LabProblem:
    """A problem with its program.

    Attributes:
        id: by split, level, seed and number.
        level: computations, 1 to 6.
        sentences: the story and its question.
    """

    id: str
    level: int
    sentences: tuple[Sentence, ...]

    @property
    def question(self) -> str:
        """The problem as text."""
        return " ".join(sentence.text() for sentence in self.sentences)

    @property
    def program(self) -> Program:
        """What it asks for."""
        return understand(self.sentences)

    def as_problem(self) -> Problem:
        """As evaluation and harvest read it."""
        answer = str(self.program.answer)
        return Problem(self.id, self.question, answer, str(self.level), "laboratory")


def generate(
    count: int, split: Split, seed: int, levels: Sequence[int] = LEVELS
) -> Iterator[LabProblem]:
    """So many problems, their levels in turn, no two alike."""
    seen: set[str] = set()
    for number in range(count):
        level = levels[number % len(levels)]
        # Of problem and seed alone: the first problems of a longer list are those of a shorter one.
        rng = random.Random(f"{split}/{seed}/{number}/{level}")  # noqa: S311 - no secret
        for _ in range(_TRIES):
            made = LabProblem(f"{split}-{level}-{seed}-{number}", level, _story(rng, level))
            if _fits(made, split) and made.question not in seen:
                seen.add(made.question)
                yield made
                break
        else:
            raise ValueError(f"no further problem of level {level}: {count} are too many")


def write(path: Path, problems: Sequence[LabProblem]) -> None:
    """Write problems as JSON lines, as `rstar eval` and `rstar harvest` read them."""
    lines = []
    for one in problems:
        problem = one.as_problem()
        fields = ("id", "question", "answer", "level", "subject")
        lines.append(json.dumps({name: getattr(problem, name) for name in fields}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def template(sentences: Sequence[Sentence]) -> str:
    """The wordings of a problem in their order, noise left out."""
    return " ".join(one.wording.text for one in sentences if one.wording.kind != "noise")


def _fits(made: LabProblem, split: Split) -> bool:
    program = made.program
    values = program.values()
    if len(program.lines) != made.level or not all(0 < value <= MAX_VALUE for value in values):
        return False
    if not _divides(program, values) or made.question.count(" ") > 75:
        return False
    return _split_of(made.sentences) == split


def _divides(program: Program, values: Sequence[int]) -> bool:
    """Whether every division is exact."""
    for line in program.lines:
        if line.op == "divide":
            left, right = (
                one if isinstance(one, int) else values[one.step] for one in (line.left, line.right)
            )
            if left % right:
                return False
    return True


def is_new(sentences: Sequence[Sentence]) -> bool:
    """Whether training never shows a story that begins with these two numbers.

    Every number is seen at every place: one that never was is one token that nothing taught the
    model to write. Which of them stand together is what is new.
    """
    told = [one for one in sentences if one.wording.kind != "noise"]
    first, second = [n for one in told for n in (one.m, one.n) if n][:2]
    return (first + 3 * second) % 5 == 0


def _split_of(sentences: Sequence[Sentence]) -> Split | None:
    """Which split may hold a problem; None where numbers and template disagree."""
    number_is_new = is_new(sentences)
    digest = hashlib.blake2b(template(sentences).encode(), digest_size=2).digest()
    # Stories of one sentence and a question have too few templates to keep any from training.
    few = sum(one.wording.kind != "noise" for one in sentences) <= _FEW
    template_is_new = digest[0] % 4 == 0 or few
    template_is_old = digest[0] % 4 != 0 or few
    if number_is_new and template_is_new:
        return "held_out"
    return "train" if not number_is_new and template_is_old else None


_FEW: Final = 3


# ---- stories ------------------------------------------------------------------------------------


def _story(rng: random.Random, level: int) -> tuple[Sentence, ...]:
    # Bags take three computations at least.
    stories = [_pocket, _people] if level < _FEW else [_pocket, _people, _bags]
    thing = rng.choice(THINGS)
    names = rng.sample(NAMES, len(NAMES))
    told = rng.choice(stories)(rng, level, names, thing)
    for _ in range(rng.randint(0, _MOST_NOISE[level])):
        noise = _say(rng.choice(wordings("noise")), rng, who=names[-1], thing=rng.choice(THINGS))
        told.insert(rng.randint(1, len(told) - 1), noise)
    return tuple(told)


def _say(
    wording: Wording,
    rng: random.Random,
    *,
    n: int = 0,
    m: int = 0,
    who: str = "",
    other: str = "",
    thing: str = "",
) -> Sentence:
    """A sentence, its number a small one where none is given."""
    return fill(wording, n=n or rng.choice(_SMALL), m=m, who=who, other=other, thing=thing)


def _first(rng: random.Random, who: str, thing: str) -> Sentence:
    return _say(rng.choice(wordings("start")), rng, who=who, thing=thing, n=rng.choice(_FIRST))


def _op(rng: random.Random) -> Op:
    return rng.choices(OPS, (3, 3, 2, 2))[0]


def _pocket(rng: random.Random, level: int, names: Sequence[str], thing: str) -> list[Sentence]:
    """One person's quantity changes again and again."""
    who = names[0]
    told = [_first(rng, who, thing)]
    told += [_say(rng.choice(wordings("change", _op(rng))), rng, who=who) for _ in range(level)]
    return [*told, _say(rng.choice(wordings("now")), rng, who=who, thing=thing)]


def _people(rng: random.Random, level: int, names: Sequence[str], thing: str) -> list[Sentence]:
    """Each has more or less than one before; the last two may be asked for together."""
    compares = level > 1 and rng.random() < 0.5
    relations = level - 1 if compares else level
    told = [_first(rng, names[0], thing)]
    told += [
        _say(rng.choice(wordings("relate", _op(rng))), rng, who=names[i + 1], other=names[i])
        for i in range(relations)
    ]
    last, before = names[relations], names[relations - 1]
    if not compares:
        return [*told, _say(rng.choice(wordings("of")), rng, who=last, thing=thing)]
    question = rng.choice([*wordings("both"), *wordings("more")])
    who, other = rng.choice([(last, before), (before, last)])
    return [*told, _say(question, rng, who=who, other=other, thing=thing)]


def _bags(rng: random.Random, level: int, names: Sequence[str], thing: str) -> list[Sentence]:
    """Two have bags, the second one's quantity changes, and the two are compared."""
    told = [
        _say(rng.choice(wordings("bags")), rng, who=who, thing=thing, m=rng.choice(_SMALL))
        for who in names[:2]
    ]
    # The second one's: what changes is always what was told last.
    told += [
        _say(rng.choice(_named_changes(_op(rng))), rng, who=names[1]) for _ in range(level - 3)
    ]
    question = rng.choice([*wordings("both"), *wordings("more")])
    who, other = rng.choice([(names[0], names[1]), (names[1], names[0])])
    return [*told, _say(question, rng, who=who, other=other, thing=thing)]


def _named_changes(op: Op) -> list[Wording]:
    return [one for one in wordings("change", op) if "{who}" in one.text]
