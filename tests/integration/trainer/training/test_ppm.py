"""The PPM's training, from a policy of 100,000 parameters that writes solutions."""

import json
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from tests.integration.trainer.training.conftest import BATCHES
from tests.support.training import losses
from trainer.training import ppm
from trainer.training.settings import PpmSettings
from trainer.training.stage import StageManifest


def train(rows: Path, trained_policy: Path, output: Path, **fields: object) -> StageManifest:
    return ppm.train(
        PpmSettings(
            **{
                **BATCHES,
                "data": (rows / "groups.parquet",),
                "base": trained_policy / "model",
                "output": output,
                "epochs": 8,
                "learning_rate": 3e-3,
                **fields,
            }
        )
    )


@pytest.mark.parametrize("objective", ["pairs", "outcome", "q_value"])
def test_steps_that_can_be_told_apart_are(
    rows: Path, trained_policy: Path, tmp_path: Path, objective: str
) -> None:
    manifest = train(rows, trained_policy, tmp_path / "out", objective=objective)
    # An ORM never saw steps.
    kind = "solution_pair_accuracy" if objective == "outcome" else "pair_accuracy"
    assert manifest.metrics[kind] > 0.95
    assert manifest.metrics["brier"] < 0.2
    curve = losses(tmp_path / "out")
    assert sum(curve[-3:]) / 3 < 0.8 * curve[0]
    assert manifest.scale is not None
    assert 0 < manifest.scale < 200
    assert manifest.rows["train"] + manifest.rows["not_usable"] + manifest.rows["held_out"] == 96


def test_the_head_alone_then_adapters_on_the_first_layers(
    rows: Path, trained_policy: Path, tmp_path: Path
) -> None:
    manifest = train(
        rows,
        trained_policy,
        tmp_path / "out",
        method="lora",
        layers=1,
        head_epochs=20,
        learning_rate=1e-2,
    )
    assert manifest.metrics["pair_accuracy"] > 0.95
    config = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    assert config["num_hidden_layers"] == 1
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    adapter = {path.name for path in (tmp_path / "out" / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= adapter
    assert "training_args.bin" not in adapter


def test_a_frozen_model_gets_a_head_of_its_features(
    rows: Path, trained_policy: Path, tmp_path: Path
) -> None:
    manifest = train(rows, trained_policy, tmp_path / "out", method="head", head_epochs=60)
    curve = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert curve[-1]["head_loss"] < 0.9 * curve[0]["head_loss"]
    assert manifest.metrics["pair_accuracy"] > 0.6
    written = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "model")
    before = AutoModelForSequenceClassification.from_pretrained(
        trained_policy / "model", num_labels=1
    )
    for name, weight in before.model.state_dict().items():
        assert weight.equal(written.model.state_dict()[name])
