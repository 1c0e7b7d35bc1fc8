from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.training import make_base, sum_groups, sums
from trainer.training import policy
from trainer.training.files import write
from trainer.training.settings import PolicySettings

BATCHES = {"batch": 16, "micro_batch": 8, "log_steps": 1, "held_out": 0.2, "report_to": ()}


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are computed sooner by one thread than several wake up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `solutions.jsonl` and `groups.parquet`."""
    folder = tmp_path_factory.mktemp("rows")
    write(folder / "solutions.jsonl", sums(64))
    write(folder / "groups.parquet", sum_groups(48))
    return folder


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose tokenizer puts a first token of its own."""
    return make_base(tmp_path_factory.mktemp("base"), begins=True)


@pytest.fixture(scope="package")
def trained_policy(rows: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a policy's training."""
    settings = PolicySettings(
        **{**BATCHES, "report_to": ("tensorboard",)},
        data=(rows / "solutions.jsonl",),
        base=base,
        output=tmp_path_factory.mktemp("policy"),
        epochs=16,
        learning_rate=1e-2,
    )
    policy.train(settings)
    return settings.output
