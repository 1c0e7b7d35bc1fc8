from pathlib import Path

import pytest

from services.common.models.errors import ModelExists
from services.common.models.store import ModelStore
from tests.support.folders import make_folder
from trainer.rounds import learning
from trainer.rounds.results import Trained
from trainer.training.stage import StageManifest


def published(where: Path, numbers: bytes) -> Trained:
    """A round's model with these weights, as the round publishes it."""
    training = where / "training"
    make_folder(training / "model", numbers=numbers)
    data = where / "solutions.parquet"
    data.write_bytes(b"rows")
    manifest = StageManifest(
        stage="policy", inputs={}, settings={}, rows={"train": 1}, metrics={}, seconds=1.0
    )
    return learning.publish(
        ModelStore(where / "store"),
        "policy",
        "try-r1",
        training,
        manifest,
        data=data,
        number=1,
        licence="MIT",
        base="base",
    )


def test_the_same_model_is_published_once(tmp_path: Path) -> None:
    first = published(tmp_path, b"\x00\x01\x02\x03")
    assert published(tmp_path, b"\x00\x01\x02\x03") == first


def test_another_model_never_passes_for_the_one_that_has_its_name(tmp_path: Path) -> None:
    """Trained on the same rows with other settings, say: the store still has the old one."""
    published(tmp_path, b"\x00\x01\x02\x03")
    with pytest.raises(ModelExists, match="try-r1"):
        published(tmp_path, b"\x00\x01\x02\x04")
