"""Train a PPM on groups of pairs: `python -m trainer.training.ppm --config FILE`.

A policy's language head gives way to one score at the last token; head, adapters or all weights are
trained by one of three objectives. The result is `<output>/model`, a plain Hugging Face folder that
the PPM service serves with the same logits, and the scale of its scores in the manifest. Under
torchrun several processes train together.
"""

import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common import logs
from trainer.training import command, models, scoring
from trainer.training.arguments import arguments
from trainer.training.data import PairGroup
from trainer.training.files import BadData, read
from trainer.training.groups import Collator, Example, encode_groups, targets
from trainer.training.head import fit_head
from trainer.training.measures import Scored, measure
from trainer.training.objectives import Objective, Pairs, objective_of
from trainer.training.scale import doubt_of, fit_scale
from trainer.training.settings import PpmSettings
from trainer.training.splits import split
from trainer.training.stage import ADAPTER, CURVES, MODEL, Stage, StageManifest, write_json

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is learnt; what is measured on, of every kind; how many rows each took."""

    train: list[Example]
    held_out: list[Example]
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Work:
    """What a training works with; the same in every process."""

    settings: PpmSettings
    stage: Stage
    state: Any
    tokenizer: Any
    new: dict[int, list[int]]
    objective: Objective
    lessons: Lessons


def train(settings: PpmSettings) -> StageManifest:
    """Train, or go on, or only say what came of it where that is done already.

    Raises:
        BadData: the rows cannot be used.
        BadSettings: a setting does not fit, or the output holds another training.
    """
    stage = Stage("ppm", settings)
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
        objective = objective_of(settings)
        lessons = _lessons(settings, tokenizer, objective)
        work = Work(settings, stage, state, tokenizer, new, objective, lessons)
        curves = _train(work, options)
        state.wait_for_everyone()
        scale, metrics = _measure(work)
        if state.is_main_process:
            write_json(settings.output / CURVES, curves)
            stage.finish(lessons.rows, metrics, scale)
            command.sweep(stage)
        state.wait_for_everyone()
    manifest = stage.done()
    if manifest is None:
        raise RuntimeError("the main process has written no manifest")
    return manifest


def _lessons(settings: PpmSettings, tokenizer: Any, objective: Objective) -> Lessons:
    rows = list(itertools.chain.from_iterable(read(p, PairGroup) for p in settings.data))
    train, held = split(rows, settings.held_out)
    counts: Counter[str] = Counter()
    usable = [group for group in train if objective.usable(group)]
    counts["not_usable"] = len(train) - len(usable)
    sides = [encode_groups(s, tokenizer, settings.max_tokens, counts) for s in (usable, held)]
    if not sides[0] or not any(objective.usable(one.group) for one in sides[1]):
        raise BadData("no group to train or to measure on that fits the objective and max_tokens")
    counts.update(train=len(sides[0]), held_out=len(sides[1]))
    return Lessons(sides[0], sides[1], dict(counts))


def _train(work: Work, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Train and write the model; the curves."""
    from transformers import set_seed

    settings = work.settings
    set_seed(settings.seed)
    dtype = "float32" if settings.method == "full" else models.frozen_in(settings)
    model = _load(work, settings.base, dtype)
    curves: list[dict[str, Any]] = []
    # A checkpoint holds the head that was trained before it.
    if settings.head_passes and work.stage.checkpoint() is None:
        curves += _train_head(work, model)
    if settings.method == "head":
        if work.state.is_main_process:
            models.write_model(model, work.tokenizer, settings, settings.output / MODEL)
        return curves
    if settings.method == "lora":
        model = models.add_adapters(model, settings.lora, "score", work.new)
    trainer = _trainer(work, model, options)
    command.run(trainer, work.stage)
    trained = command.save(trainer, work.stage)
    if work.state.is_main_process:
        _export(work, trained)
    return [*curves, *trainer.state.log_history]


def _load(work: Work, folder: Path, dtype: str = "float32") -> Any:
    return models.load_model(
        folder, "score", work.tokenizer, work.new, layers=work.settings.layers, dtype=dtype
    )


def _train_head(work: Work, model: Any) -> list[dict[str, Any]]:
    import torch

    examples, settings = work.lessons.train, work.settings
    texts = [ids for one in examples for ids in one.ids]
    found = scoring.compute(
        scoring.features(model.to(work.state.device)),
        model,
        texts,
        work.tokenizer.pad_token_id,
        settings.micro_batch,
        work.state,
    )
    weights, curve = fit_head([one.group for one in examples], found, work.objective, settings)
    with torch.no_grad():
        model.score.weight.copy_(weights[None])
    model.train()
    return [{"head_pass": number, "head_loss": loss} for number, loss in enumerate(curve, 1)]


def _trainer(work: Work, model: Any, options: dict[str, Any]) -> Any:
    from transformers import TrainingArguments

    from trainer.training.group_trainer import GroupTrainer

    held = [one for one in work.lessons.held_out if work.objective.usable(one.group)]
    return GroupTrainer(
        objective=work.objective,
        model=model,
        args=TrainingArguments(**options),
        data_collator=Collator(work.tokenizer.pad_token_id),
        train_dataset=work.lessons.train,
        eval_dataset=held,
        processing_class=work.tokenizer,
    )


def _export(work: Work, trained: Path) -> None:
    """Write the plain model, from what the trainer saved."""
    settings = work.settings
    if settings.method == "lora":
        model = models.merge_adapters(_load(work, settings.base), settings.output / ADAPTER)
    else:
        model = models.load_model(trained, "score", work.tokenizer, {})
    models.write_model(model, work.tokenizer, settings, settings.output / MODEL)


def _measure(work: Work) -> tuple[float, dict[str, Any]]:
    """Scale and measures of the written model, which is the one that will be served."""
    settings, held = work.settings, work.lessons.held_out
    dtype = models.computed_in(settings)
    model = models.load_model(settings.output / MODEL, "score", work.tokenizer, {}, dtype=dtype)
    found = scoring.compute(
        scoring.logits(model.to(work.state.device)),
        model,
        [ids for one in held for ids in one.ids],
        work.tokenizer.pad_token_id,
        settings.micro_batch,
        work.state,
    )
    scored = _by_group(held, found[:, 0].tolist())
    scale = _scale(work.objective, scored)
    return scale, measure(scored, scale)


def _by_group(examples: Sequence[Example], logits: Sequence[float]) -> Scored:
    left = iter(logits)
    return [(one.group, list(itertools.islice(left, len(one.ids)))) for one in examples]


def _scale(objective: Objective, scored: Scored) -> float:
    import torch

    usable = [(group, logits) for group, logits in scored if objective.usable(group)]
    wanted = targets([group for group, _ in usable])
    flat = torch.tensor([logit for _, logits in usable for logit in logits])
    # Where the logits lie is settled; their temperature alone is sought.
    judge = Pairs() if isinstance(objective, Pairs) else objective
    doubt = doubt_of(len(usable))
    return fit_scale(lambda t: float(judge.losses(flat / t, wanted, doubt).mean()))


if __name__ == "__main__":
    sys.exit(command.main("ppm", PpmSettings, train))
