"""The laboratory's base model: fluent, not able.

It is pretrained by the policy's own trainer on solutions that are in form and make no sense: the
numbers and quantities are those of the problem, in its order, but which operation joins them is
drawn at random. So it knows the grammar, and to copy and to chain; what the sentences mean, it
learns by the rounds or not at all. Copying is learnt from the shortest stories first: from all
lengths at once it takes far longer.

What `make_base` gives with the settings as they are lies in `weights/`, rounded to bfloat16.
"""

import dataclasses
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from services.common.models.store import ModelStore, StoredModel
from trainer.lab import tokenizer as words
from trainer.lab.language import Sentence
from trainer.lab.model import Shape, create
from trainer.lab.problems import LabProblem, generate, is_new
from trainer.lab.program import OPS, Program
from trainer.training import policy
from trainer.training.data import SolutionRow, StepRow
from trainer.training.settings import PolicySettings

VERSION: Final = "lab-base"
LICENCE: Final = "Apache-2.0"
WEIGHTS: Final = Path(__file__).parent / "weights"
_ROWS: Final = "rows.jsonl"
_RANDOM: Final = "random"
_TRAINING: Final = "training"


@dataclass(frozen=True, slots=True)
class Lesson:
    """A part of the pretraining.

    Attributes:
        share: of all its problems.
        levels: computations of these.
        schedule: of the learning rate, after a short rise.
    """

    share: float
    levels: tuple[int, ...]
    schedule: Literal["constant", "cosine"] = "constant"


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How the base is made.

    Attributes:
        problems: as many; their seeds are those of no other data of the laboratory.
        lessons: one after another; each takes its share of the problems.
        batch: problems an optimizer step.
        learning_rate: the highest.
        seed: of everything.
    """

    problems: int = 64_000
    lessons: tuple[Lesson, ...] = (
        Lesson(0.05625, (1,)),
        Lesson(0.075, (1, 2)),
        Lesson(0.1125, (1, 2, 3)),
        Lesson(0.13125, (1, 2, 3, 4), schedule="cosine"),
        Lesson(0.625, (1, 2, 3, 4, 5, 6), schedule="cosine"),
    )
    batch: int = 16
    learning_rate: float = 3e-3
    seed: int = 7_001


def shipped_base(store: ModelStore) -> StoredModel:
    """Publish the base that comes with the code, unless the store has one; the store's."""
    if VERSION in store.versions("policy"):
        return store.open("policy", VERSION)
    return _publish(store, WEIGHTS)


def make_base(store: ModelStore, folder: Path, shape: Shape, how: Pretraining) -> StoredModel:
    """Pretrain and publish, or go on where that was broken off; the base of the store.

    Args:
        store: gets version VERSION, unless it has it.
        folder: for what is on the way; may be removed afterwards.
        shape: of the model.
        how: it is pretrained.
    """
    if VERSION in store.versions("policy"):
        return store.open("policy", VERSION)
    folder.mkdir(parents=True, exist_ok=True)
    _once(folder / _RANDOM, shape, how)
    model = folder / _RANDOM
    for number in range(len(how.lessons)):
        model = _learn(model, folder / f"lesson-{number + 1}", how, number)
    return _publish(store, model)


def _publish(store: ModelStore, model: Path) -> StoredModel:
    return store.publish("policy", VERSION, model, licence=LICENCE, prompt_style="bare", round=0)


def _learn(base: Path, folder: Path, how: Pretraining, number: int) -> Path:
    """Teach a model one lesson, or go on with it; the folder of what has learnt it."""
    lesson, seed = how.lessons[number], how.seed + number
    folder.mkdir(exist_ok=True)
    stories = generate(round(lesson.share * how.problems), "train", seed, lesson.levels)
    rows = [idle_row(one, seed) for one in stories]
    text = "".join(json.dumps(row.model_dump(mode="json")) + "\n" for row in rows)
    (folder / _ROWS).write_text(text, encoding="utf-8")
    settings = PolicySettings(
        data=(folder / _ROWS,),
        base=base,
        output=folder / _TRAINING,
        seed=seed,
        held_out=0.01,
        max_tokens=words.CONTEXT_TOKENS,
        epochs=1,
        batch=how.batch,
        micro_batch=how.batch,
        learning_rate=how.learning_rate,
        schedule=lesson.schedule,
        warmup=0.1,
        save_as="float32",
    )
    return settings.output / policy.train(settings).model


def idle_row(problem: LabProblem, seed: int) -> SolutionRow:
    """A story with other numbers, and in the form of its solution a program of random operations.

    Numbers of one and two digits, so that copying is learnt and not which numbers there are.
    """
    rng = random.Random(f"idle/{seed}/{problem.id}")  # noqa: S311 - no secret
    told = _renumbered(problem.sentences, rng)
    while is_new(told):
        told = _renumbered(problem.sentences, rng)
    story = dataclasses.replace(problem, sentences=told)
    lines = [dataclasses.replace(line, op=rng.choice(OPS)) for line in story.program.lines]
    return solution_row(story, Program(tuple(lines)))


def _renumbered(sentences: Sequence[Sentence], rng: random.Random) -> tuple[Sentence, ...]:
    """Sentences with other numbers where they have any."""

    def number() -> int:
        return rng.randrange(1, 10 ** rng.randint(1, 2))

    return tuple(
        dataclasses.replace(one, n=one.n and number(), m=one.m and number()) for one in sentences
    )


def solution_row(problem: LabProblem, program: Program) -> SolutionRow:
    """A problem with a program as its solution; what the program prints is the answer."""
    try:
        printed = str(program.answer)
    except ZeroDivisionError:
        printed = "0"
    *first, last = program.steps()
    steps = [StepRow(text=text) for text in first]
    steps.append(StepRow(text=last, ends_code=True, output=printed))
    steps.append(StepRow(text=f"\\boxed{{{printed}}}"))
    return SolutionRow(problem=problem.id, question=problem.question, steps=tuple(steps))


def _once(folder: Path, shape: Shape, how: Pretraining) -> None:
    """Write the random model whole or not at all; what lies there already is left as it is."""
    if folder.is_dir():
        return
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        create(Path(scratch) / _RANDOM, shape, how.seed)
        (Path(scratch) / _RANDOM).rename(folder)
