"""Two processes on a CPU, under torchrun, train as one does."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.trainer.training.conftest import BATCHES
from tests.support.training import losses, sum_groups, sums
from trainer.training import policy, ppm
from trainer.training.files import write
from trainer.training.settings import PolicySettings, PpmSettings, TrainingSettings
from trainer.training.splits import split

RUN_SECONDS = 200
# A whole number of batches: processes fill up a last one that is not with rows seen before.
TRAINED_ROWS = 32


def under_torchrun(name: str, settings: TrainingSettings) -> None:
    config = settings.output.with_suffix(".json")
    config.write_text(settings.model_dump_json())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"),
            *("--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}"),
            *("-m", f"trainer.training.{name}", "--config", str(config)),
        ],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_shared_out_parameters_of_a_policy(base: Path, tmp_path: Path) -> None:
    rows = sums(60)
    train, held = split(rows, 0.2)
    write(tmp_path / "rows.jsonl", [*train[:TRAINED_ROWS], *held])
    fields = {
        **BATCHES,
        "data": (tmp_path / "rows.jsonl",),
        "base": base,
        "epochs": 4,
        "learning_rate": 3e-3,
    }
    alone = PolicySettings(**fields, output=tmp_path / "alone")
    together = PolicySettings(**fields, output=tmp_path / "together", sharding="fsdp")
    one = policy.train(alone)
    under_torchrun("policy", together)
    two = policy.train(together)
    assert one.rows["train"] == TRAINED_ROWS
    assert losses(together.output) == pytest.approx(losses(alone.output), rel=1e-4)
    # A mean of means of micro-batches, and two processes have others than one.
    assert two.metrics["held_out_loss"] == pytest.approx(one.metrics["held_out_loss"], rel=1e-2)


def test_copies_of_a_ppm_and_its_head(trained_policy: Path, tmp_path: Path) -> None:
    train, held = split(sum_groups(40), 0.2)
    write(tmp_path / "rows.jsonl", [*train[:TRAINED_ROWS], *held])
    fields = {
        **BATCHES,
        "data": (tmp_path / "rows.jsonl",),
        "base": trained_policy / "model",
        "epochs": 2,
        "head_epochs": 3,
        "learning_rate": 1e-3,
    }
    alone = PpmSettings(**fields, output=tmp_path / "alone")
    together = PpmSettings(**fields, output=tmp_path / "together")
    one = ppm.train(alone)
    under_torchrun("ppm", together)
    two = ppm.train(together)
    assert losses(together.output) == pytest.approx(losses(alone.output), rel=1e-3)
    assert two.scale == pytest.approx(one.scale, rel=1e-2)
    assert two.metrics["brier"] == pytest.approx(one.metrics["brier"], rel=1e-2)
