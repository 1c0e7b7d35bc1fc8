"""What the two training commands share: the process group, the run, its traces, the exit code."""

import argparse
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.common import logs
from trainer.training.files import BadData
from trainer.training.settings import AnySettings, BadSettings, load
from trainer.training.stage import ADAPTER, CHECKPOINTS, Stage, StageManifest
from trainer.training.tokens import TokenizerMismatch

_TRAINED = "trained"

log = logs.get(__name__)


def main(
    name: str,
    kind: type[AnySettings],
    train: Callable[[AnySettings], StageManifest],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a training from its configuration file; 0, or 2 where data or settings are at fault."""
    parser = argparse.ArgumentParser(prog=f"python -m trainer.training.{name}")
    parser.add_argument("--config", type=Path, required=True, help="JSON or YAML file of settings")
    options = parser.parse_args(arguments)
    logs.configure(f"trainer.{name}")
    # Models come from folders; nothing is fetched.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Read when torch is loaded: threads that spin while they wait take the cores from others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        settings = load(options.config, kind)
        manifest = train(settings)
    except (BadSettings, BadData, TokenizerMismatch) as error:
        log.error("cannot train", reason=str(error))  # noqa: TRY400 - a line, no traceback
        return 2
    if not int(os.environ.get("RANK", "0")):
        log.info("trained", output=str(settings.output), scale=manifest.scale, **manifest.numbers)
    return 0


@contextlib.contextmanager
def together(options: Mapping[str, Any]) -> Iterator[Any]:
    """The processes that train together, one of them main; their group is closed at the end."""
    import torch.distributed
    import transformers
    from accelerate import PartialState

    # What it warns of when a base gets another head, or fewer layers, is meant.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    was_open = torch.distributed.is_initialized()
    state = PartialState(cpu=options["use_cpu"])
    try:
        yield state
    finally:
        if torch.distributed.is_initialized() and not was_open:
            state.destroy_process_group()


def run(trainer: Any, stage: Stage) -> None:
    """Train to the end, from the last whole checkpoint if there is one."""
    from transformers import PrinterCallback

    from trainer.training.step_log import StepLog

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StepLog())
    checkpoint = stage.checkpoint()
    if checkpoint is not None:
        log.info("going on", checkpoint=checkpoint.name)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def save(trainer: Any, stage: Stage) -> Path:
    """Let all processes put together and write what was trained; the folder.

    A folder `adapter` in the stage's is what peft writes, without the base.
    """
    adapted = hasattr(trainer.accelerator.unwrap_model(trainer.model), "peft_config")
    folder = stage.folder / (ADAPTER if adapted else _TRAINED)
    trainer.save_model(str(folder))
    return folder


def sweep(stage: Stage) -> None:
    """Remove what only a restart would have needed."""
    for name in (CHECKPOINTS, _TRAINED):
        shutil.rmtree(stage.folder / name, ignore_errors=True)
    # The trainer's own arguments, as a pickle; the manifest has the settings.
    (stage.folder / ADAPTER / "training_args.bin").unlink(missing_ok=True)
