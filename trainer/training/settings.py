"""Settings of the two trainings, read from a JSON or YAML file."""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class BadSettings(ValueError):  # noqa: N818 - names the fault in what was given
    """Settings that cannot be used; the message names the field and what is wrong."""


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lora(_Fields):
    """Low-rank adapters (Hu et al. 2021)."""

    rank: int = Field(16, ge=1, le=1024)
    alpha: float = Field(32.0, gt=0, description="The adapters' product is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
        description="Names of the linear layers that get one.",
    )


class TrainingSettings(_Fields):
    """What both trainings have."""

    data: tuple[Path, ...] = Field(min_length=1, description="Files of rows, .jsonl or .parquet.")
    base: Path = Field(description="Hugging Face folder of the model that training starts from.")
    output: Path = Field(description="Folder of this training, and of nothing else.")
    seed: int = Field(0, ge=0, lt=2**32)
    held_out: float = Field(
        0.05, gt=0, lt=1, description="Share of the problems that are kept to measure on."
    )
    max_tokens: int = Field(
        2048, ge=8, le=1_048_576, description="Longest text; longer ones are left out and counted."
    )
    lora: Lora = Field(default_factory=Lora, description="Used where `method` is lora.")
    epochs: float = Field(gt=0, le=1000)
    max_steps: int = Field(0, ge=0, description="Ends training early; 0 for all epochs.")
    batch: int = Field(ge=1, description="Rows of an optimizer step, over all processes.")
    micro_batch: int = Field(ge=1, description="Rows that a process computes at once.")
    learning_rate: float = Field(gt=0, le=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.0, ge=0, lt=1, description="Share of the steps with a rising rate.")
    weight_decay: float = Field(ge=0, le=1)
    gradient_norm: float = Field(1.0, gt=0, description="Longer gradients are cut to this.")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto",
        description="Of the computation; weights that are trained stay float32. auto: bfloat16 "
        "where the device has it, float32 on a CPU.",
    )
    save_as: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="Type of the written weights; auto keeps the base's."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations twice instead of keeping them."
    )
    checkpoint_steps: int = Field(
        200,
        ge=1,
        description="Optimizer steps between two checkpoints, which a restart goes on from.",
    )
    evaluate_steps: int = Field(
        0, ge=0, description="Optimizer steps between two held-out losses; 0 for one an epoch."
    )
    log_steps: int = Field(10, ge=1)
    report_to: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ("tensorboard",)
    sharding: Literal["none", "fsdp"] = Field(
        "none",
        description="Under torchrun: a copy of the model in every process, or its parameters, "
        "gradients and optimizer state shared out (FSDP2).",
    )

    @model_validator(mode="after")
    def _batches_fit(self) -> "TrainingSettings":
        if self.batch % self.micro_batch:
            raise ValueError(
                f"batch: {self.batch} is no multiple of micro_batch {self.micro_batch}"
            )
        return self


class PolicySettings(TrainingSettings):
    """Supervised fine-tuning of the policy; defaults are the paper's and its code's."""

    method: Literal["full", "lora"] = "full"
    epochs: float = Field(2.0, gt=0, le=1000)
    max_tokens: int = Field(4096, ge=8, le=1_048_576)
    batch: int = Field(128, ge=1)
    micro_batch: int = Field(4, ge=1)
    learning_rate: float = Field(7e-6, gt=0, le=1)
    weight_decay: float = Field(0.1, ge=0, le=1)
    packing: bool = Field(
        False,
        description="Fill rows of max_tokens with several solutions, which saves padding; needs "
        "flash attention, which keeps them apart.",
    )


class PpmSettings(TrainingSettings):
    """Training of the PPM, or of what it is compared with; a row is a group of pairs."""

    objective: Literal["pairs", "outcome", "q_value"] = Field(
        "pairs",
        description="pairs: the paper's PPM; outcome: an ORM, whole solutions right or wrong; "
        "q_value: a PQM, each member's Q-value.",
    )
    method: Literal["full", "lora", "head"] = "full"
    epochs: float = Field(1.0, gt=0, le=1000)
    batch: int = Field(128, ge=1)
    micro_batch: int = Field(4, ge=1)
    learning_rate: float = Field(7e-6, gt=0, le=1)
    weight_decay: float = Field(0.0, ge=0, le=1)
    layers: int = Field(
        0, ge=0, description="Keep the first so many layers of the base; 0 for all of them."
    )
    centering: float = Field(
        0.01,
        ge=0,
        le=10,
        description="Weight of the squared mean of a pair's two logits, which keeps them around 0, "
        "where tanh tells most apart; a ranking alone leaves it open. 0 is the paper's loss.",
    )
    head_epochs: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Passes of the head alone over cached features, before the rest is trained; "
        "0 for none, but for the method `head`, which takes 200.",
    )
    head_learning_rate: float = Field(1e-2, gt=0, le=10)
    head_weight_decay: float = Field(0.1, ge=0, le=10)

    @property
    def head_passes(self) -> int:
        """How often the head alone sees the data."""
        return self.head_epochs or (200 if self.method == "head" else 0)


AnySettings = TypeVar("AnySettings", bound=TrainingSettings)


def load(path: Path, kind: type[AnySettings]) -> AnySettings:
    """Read settings from a .json, .yaml or .yml file; relative paths are the caller's.

    Raises:
        BadSettings: the file cannot be read, or a field is wrong.
    """
    try:
        return kind.model_validate(_parse(path))
    except ValidationError as error:
        fault = error.errors()[0]
        raise BadSettings(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error


def _parse(path: Path) -> Any:
    import json

    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadSettings(f"{path}: {error}") from error
