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
    asked += ["--levels", "3"]
    train_once, lessons = policy.train, list[tuple[Path, Path]]()

    def watched(settings: PolicySettings) -> StageManifest:
        manifest = train_once(settings)
        lessons.append((settings.base, settings.output / manifest.model))
        return manifest

    monkeypatch.setattr(policy, "train", watched)
    assert main([*asked, "--pretrain", "320"]) == 0
    train, held_out = (read_problems(folder / f"{n}.jsonl") for n in ("train", "held_out"))
    assert (len(train), len(held_out)) == (12, 6)
    assert {one.level for one in [*train, *held_out]} == {"1", "2", "3"}
    assert not {one.id for one in train} & {one.id for one in held_out}
    made = store.open("policy", base.VERSION)
    assert made.manifest.prompt_style == "bare"
    # Each lesson goes on from the one before; the last one's model is the base.
    assert [taught for taught, _ in lessons[1:]] == [learnt for _, learnt in lessons[:-1]]
    weights = [(place / "model.safetensors").read_bytes() for _, place in lessons]
    assert len(set(weights)) == len(lessons) == len(base.Pretraining().lessons)
    assert (made.path / "model.safetensors").read_bytes() == weights[-1]

    def again(settings: PolicySettings) -> StageManifest:
        raise AssertionError(f"trained twice: {settings.output}")

    monkeypatch.setattr(policy, "train", again)
    assert main([*asked, "--pretrain", "320"]) == 0
    assert store.open("policy", base.VERSION).manifest == made.manifest
