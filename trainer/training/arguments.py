"""Arguments of the Hugging Face trainers, from our settings."""

import os
from typing import Any

from trainer.training.models import computed_in
from trainer.training.settings import BadSettings, TrainingSettings
from trainer.training.stage import CHECKPOINTS, EVENTS

_WAIT_SECONDS = 4 * 3600


def processes() -> int:
    """How many processes train together, as torchrun says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def accumulation(settings: TrainingSettings) -> int:
    """Micro-batches of a process in one optimizer step; the batch does not depend on the processes.

    Raises:
        BadSettings: the batch cannot be shared out evenly.
    """
    together = settings.micro_batch * processes()
    if settings.batch % together:
        raise BadSettings(
            f"batch: {settings.batch} is no multiple of {together}, which is micro_batch "
            f"{settings.micro_batch} in each of {processes()} processes"
        )
    return settings.batch // together


def arguments(settings: TrainingSettings) -> dict[str, Any]:
    """Fields of transformers.TrainingArguments."""
    import torch

    os.environ["TENSORBOARD_LOGGING_DIR"] = str(settings.output / EVENTS)
    short = computed_in(settings) == "bfloat16"
    per_epoch = settings.evaluate_steps == 0
    return {
        "output_dir": str(settings.output / CHECKPOINTS),
        "seed": settings.seed,
        "data_seed": settings.seed,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": settings.micro_batch,
        "per_device_eval_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": accumulation(settings),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.gradient_norm,
        "optim": "adamw_torch_fused" if torch.cuda.is_available() else "adamw_torch",
        "bf16": short,
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_steps,
        "save_total_limit": 2,
        "eval_strategy": "epoch" if per_epoch else "steps",
        "eval_steps": settings.evaluate_steps or None,
        "logging_steps": settings.log_steps,
        "logging_first_step": True,
        "report_to": list(settings.report_to),
        "remove_unused_columns": False,
        "prediction_loss_only": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False,
        # The main process writes and other ones wait for it.
        "ddp_timeout": _WAIT_SECONDS,
        **_memory(settings),
    }


def _memory(settings: TrainingSettings) -> dict[str, Any]:
    """What saves memory: checkpointed activations, shared-out parameters."""
    if settings.sharding == "none":
        return {
            "gradient_checkpointing": settings.gradient_checkpointing,
            "gradient_checkpointing_kwargs": {"use_reentrant": False},
        }
    return {
        "gradient_checkpointing": False,
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            "activation_checkpointing": settings.gradient_checkpointing,
            "state_dict_type": "FULL_STATE_DICT",
        },
    }
