from pathlib import Path

import pytest

from tests.support.training import steps_group
from trainer.training.files import write
from trainer.training.settings import BadSettings, PpmSettings
from trainer.training.stage import CHECKPOINTS, MANIFEST, Stage, hash_model


@pytest.fixture
def settings(tmp_path: Path) -> PpmSettings:
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"weights")
    write(tmp_path / "rows.jsonl", [steps_group("p", "good", "bad")])
    return PpmSettings(data=(tmp_path / "rows.jsonl",), base=base, output=tmp_path / "out")


def test_a_stage_is_done_when_its_manifest_is_there(settings: PpmSettings) -> None:
    stage = Stage("ppm", settings)
    stage.open()
    assert stage.done() is None
    written = stage.finish({"train": 3}, {"brier": 0.1, "by_step": {}, "pairs": 2}, scale=4.0)
    found = Stage("ppm", settings).done()
    assert found == written
    assert found.numbers == {"brier": 0.1, "pairs": 2.0}
    assert set(found.inputs) == {"data.0", "base"}


def change_data(settings: PpmSettings) -> PpmSettings:
    write(settings.data[0], [steps_group("p", "better", "bad")])
    return settings


def change_base(settings: PpmSettings) -> PpmSettings:
    (settings.base / "model.safetensors").write_bytes(b"others")
    return settings


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (change_data, "inputs.data.0"),
        (change_base, "inputs.base"),
        (lambda s: s.model_copy(update={"seed": 7}), "settings.seed"),
        (
            lambda s: s.model_copy(update={"lora": s.lora.model_copy(update={"rank": 1})}),
            "settings.lora.rank",
        ),
    ],
)
def test_another_training_in_the_folder_is_refused_by_name(
    settings: PpmSettings, change: object, name: str, finished: bool
) -> None:
    stage = Stage("ppm", settings)
    stage.open()
    if finished:
        stage.finish({}, {}, 1.0)
    other = Stage("ppm", change(settings))  # type: ignore[operator]
    with pytest.raises(BadSettings, match=rf"differs in {name}:"):
        other.done() if finished else other.open()


def test_what_only_says_where_things_lie_may_change(settings: PpmSettings) -> None:
    Stage("ppm", settings).open()
    Stage("ppm", settings.model_copy(update={"report_to": (), "log_steps": 1})).open()


def test_the_last_whole_checkpoint_is_gone_on_from(settings: PpmSettings) -> None:
    stage = Stage("ppm", settings)
    stage.open()
    assert stage.checkpoint() is None
    for step, whole in [(9, True), (10, True), (11, False)]:
        folder = settings.output / CHECKPOINTS / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    assert stage.checkpoint() == settings.output / CHECKPOINTS / "checkpoint-10"


def test_a_published_model_is_known_by_its_manifest(settings: PpmSettings) -> None:
    loose = hash_model(settings.base)
    (settings.base / MANIFEST).write_text("{}")
    published = hash_model(settings.base)
    assert loose != published
    (settings.base / "model.safetensors").write_bytes(b"others")
    assert hash_model(settings.base) == published
    with pytest.raises(BadSettings, match="no safetensors"):
        hash_model(settings.output)
