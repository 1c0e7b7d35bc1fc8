"""The laboratory as its command makes it."""

from pathlib import Path

import pytest

from services.common.models.store import ModelStore
from trainer.lab import base
from trainer.lab.__main__ import main
from trainer.problems.files import read_problems
from trainer.training import policy
from trainer.training.settings import PolicySettings
from trainer.training.stage import StageManifest


def test_the_command_makes_problems_and_a_base_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = tmp_path / "lab", ModelStore(tmp_path / "store")
    asked = [str(folder), "--store", str(tmp_path / "store"), "--train", "12", "--held-out", "6"]
    assert main([*asked, "--pretrain", "96"]) == 0
    train, held_out = (read_problems(folder / f"{n}.jsonl") for n in ("train", "held_out"))
    assert (len(train), len(held_out)) == (12, 6)
    assert not {one.id for one in train} & {one.id for one in held_out}
    made = store.open("policy", base.VERSION)
    assert made.manifest.prompt_style == "bare"

    def again(settings: PolicySettings) -> StageManifest:
        raise AssertionError(f"trained twice: {settings.output}")

    monkeypatch.setattr(policy, "train", again)
    assert main([*asked, "--pretrain", "96"]) == 0
    assert store.open("policy", base.VERSION).manifest == made.manifest
