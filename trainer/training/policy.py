"""Train a policy on chosen solutions: `python -m trainer.training.policy --config FILE`.

Supervised fine-tuning by TRL's SFTTrainer, from the base in every round, as the paper does. The
result is `<output>/model`, a plain Hugging Face folder to be published with the prompt style
`bare`. Under torchrun several processes train together.
"""

import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common import logs
from trainer.training import command, models
from trainer.training.arguments import arguments
from trainer.training.data import SolutionRow
from trainer.training.files import BadData, read
from trainer.training.settings import PolicySettings, TrainingSettings
from trainer.training.splits import split
from trainer.training.stage import ADAPTER, CURVES, MODEL, Stage, StageManifest, write_json
from trainer.training.texts import lesson
from trainer.training.tokens import Encoded, encode_lesson

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is learnt and what is measured on, in tokens; and how many rows each took."""

    train: list[Encoded]
    held_out: list[Encoded]
    rows: dict[str, int]


def train(settings: PolicySettings) -> StageManifest:
    """Train, or go on, or only say what came of it where that is done already.

    Raises:
        BadData: the rows cannot be used.
        BadSettings: a setting does not fit, or the output holds another training.
    """
    stage = Stage("policy", settings)
    if manifest := stage.done():
        log.info("done already", output=str(settings.output))
        command.sweep(stage)
        return manifest
    options = arguments(settings)
    with command.together(options) as state:
        if state.is_main_process:
            stage.open()
        state.wait_for_everyone()
        tokenizer, new = models.load_tokenizer(settings.base)
        lessons = _lessons(settings, tokenizer)
        trainer = _trainer(settings, options, tokenizer, new, lessons)
        command.run(trainer, stage)
        metrics = trainer.evaluate()
        trained = command.save(trainer, stage)
        if state.is_main_process:
            _export(settings, tokenizer, new, trained)
            write_json(settings.output / CURVES, trainer.state.log_history)
            stage.finish(lessons.rows, _metrics(metrics, trainer))
            command.sweep(stage)
        state.wait_for_everyone()
    manifest = stage.done()
    if manifest is None:
        raise RuntimeError("the main process has written no manifest")
    return manifest


def _lessons(settings: PolicySettings, tokenizer: Any) -> Lessons:
    rows = list(itertools.chain.from_iterable(read(p, SolutionRow) for p in settings.data))
    counts: Counter[str] = Counter()
    train, held = split(rows, settings.held_out)
    sides = [_encoded(side, settings, tokenizer, counts) for side in (train, held)]
    if not all(sides):
        raise BadData(f"no row of at most {settings.max_tokens} tokens to train or to measure on")
    counts.update(train=len(sides[0]), held_out=len(sides[1]))
    return Lessons(sides[0], sides[1], dict(counts))


def _encoded(
    rows: Sequence[SolutionRow], settings: TrainingSettings, tokenizer: Any, counts: Counter[str]
) -> list[Encoded]:
    found = [encode_lesson(tokenizer, lesson(row)) for row in rows]
    fitting = [one for one in found if len(one.ids) <= settings.max_tokens]
    counts["too_long"] += len(found) - len(fitting)
    return fitting


def _trainer(
    settings: PolicySettings,
    options: dict[str, Any],
    tokenizer: Any,
    new: dict[int, list[int]],
    lessons: Lessons,
) -> Any:
    from datasets import Dataset
    from transformers import set_seed
    from trl import SFTConfig

    from trainer.training.solution_trainer import SolutionTrainer

    set_seed(settings.seed)
    lora = settings.method == "lora"
    dtype = models.frozen_in(settings) if lora else "float32"
    model = models.load_model(
        settings.base,
        "language",
        tokenizer,
        new,
        dtype=dtype,
        # Any other lets the solutions of a row see each other.
        attention="flash_attention_2" if settings.packing else None,
    )
    if lora:
        model = models.add_adapters(model, settings.lora, "language", new)
    return SolutionTrainer(
        trains_tokens=lora and bool(new),
        model=model,
        args=SFTConfig(
            **options,
            max_length=settings.max_tokens if settings.packing else None,
            packing=settings.packing,
            dataset_kwargs={"skip_prepare_dataset": not settings.packing},
        ),
        train_dataset=Dataset.from_list([_columns(one) for one in lessons.train]),
        eval_dataset=Dataset.from_list([_columns(one) for one in lessons.held_out]),
        processing_class=tokenizer,
    )


def _columns(one: Encoded) -> dict[str, list[int]]:
    return {"input_ids": one.ids, "labels": one.labels}


def _export(
    settings: PolicySettings, tokenizer: Any, new: dict[int, list[int]], trained: Path
) -> None:
    """Write the plain model, from what the trainer saved."""
    if settings.method == "lora":
        model = models.load_model(settings.base, "language", tokenizer, new)
        model = models.merge_adapters(model, settings.output / ADAPTER)
    else:
        model = models.load_model(trained, "language", tokenizer, {})
    models.write_model(model, tokenizer, settings, settings.output / MODEL)


def _metrics(evaluated: dict[str, float], trainer: Any) -> dict[str, float]:
    return {
        "held_out_loss": evaluated["eval_loss"],
        "held_out_token_accuracy": evaluated["eval_mean_token_accuracy"],
        "steps": float(trainer.state.global_step),
    }


if __name__ == "__main__":
    sys.exit(command.main("policy", PolicySettings, train))
