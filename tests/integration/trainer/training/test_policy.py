"""The policy's training, on a model of 100,000 parameters."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from services.common.models.store import ModelStore
from services.common.steps import END_OF_CODE, render_prompt
from tests.integration.trainer.training.conftest import BATCHES
from tests.support.training import losses, make_base, sums
from trainer.training import models, policy
from trainer.training.files import write
from trainer.training.settings import BadSettings, PolicySettings
from trainer.training.texts import lesson
from trainer.training.tokens import encode_lesson

START_SECONDS = 120


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    ids = torch.tensor([encode_lesson(tokenizer, lesson(sums(1)[0])).ids])
    with torch.no_grad():
        return model.eval()(ids).logits


def test_a_policy_learns_to_write_solutions(trained_policy: Path) -> None:
    curve = losses(trained_policy)
    assert sum(curve[-3:]) / 3 < 0.1 * curve[0]
    manifest = json.loads((trained_policy / "manifest.json").read_text())
    assert manifest["metrics"]["held_out_loss"] < 0.1 * curve[0]
    model = AutoModelForCausalLM.from_pretrained(trained_policy / "model")
    tokenizer = AutoTokenizer.from_pretrained(trained_policy / "model")
    prompt = tokenizer(render_prompt("3 + 4?", []), return_tensors="pt")
    written = model.generate(**prompt, max_new_tokens=40, do_sample=False)
    text = tokenizer.decode(written[0, prompt["input_ids"].shape[1] :])
    assert text.startswith("# Step 1: print(")
    assert text.split(END_OF_CODE)[0].endswith(")\n")


def test_what_is_written_can_be_published(trained_policy: Path, tmp_path: Path) -> None:
    numbers = json.loads((trained_policy / "manifest.json").read_text())["metrics"]
    stored = ModelStore(tmp_path).publish(
        "policy",
        "toy-r1",
        trained_policy / "model",
        licence="Apache-2.0",
        prompt_style="bare",
        metrics=numbers,
    )
    assert ModelStore(tmp_path).open("policy", "toy-r1").manifest == stored.manifest
    assert list((trained_policy / "events").glob("events.out.tfevents.*"))
    assert not (trained_policy / "checkpoints").exists()


@pytest.mark.parametrize(("family", "tied"), [("llama", True), ("qwen2", False)])
def test_merged_adapters_compute_what_they_did_beside_the_base(
    rows: Path, tmp_path: Path, family: str, tied: bool
) -> None:
    from peft import PeftModel

    base = make_base(tmp_path / "base", family=family, tied=tied)
    settings = PolicySettings(
        **BATCHES,
        data=(rows / "solutions.jsonl",),
        base=base,
        output=tmp_path / "out",
        method="lora",
        max_steps=8,
        epochs=1,
        learning_rate=1e-2,
    )
    policy.train(settings)
    tokenizer, new = models.load_tokenizer(base)
    beside = models.load_model(base, "language", tokenizer, new)
    before = beside.get_input_embeddings().weight.detach().clone()
    adapted = PeftModel.from_pretrained(beside, settings.output / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(settings.output / "model")
    again = AutoTokenizer.from_pretrained(settings.output / "model")
    assert again.get_vocab() == tokenizer.get_vocab()
    torch.testing.assert_close(logits(merged, again), logits(adapted, tokenizer))
    rows_after = merged.get_input_embeddings().weight.detach()
    changed = {int(row) for row in (rows_after != before).any(dim=1).nonzero()}
    assert changed <= set(new)
    assert len(changed) >= len(new) - 1
    curve = losses(settings.output)
    assert curve[-1] < 0.9 * curve[0]


def test_a_training_that_is_killed_goes_on_as_if_it_had_not_been(
    base: Path, tmp_path: Path
) -> None:
    write(tmp_path / "rows.jsonl", sums(40))
    fields = {
        **BATCHES,
        "data": [str(tmp_path / "rows.jsonl")],
        "base": str(base),
        "epochs": 20,
        "learning_rate": 3e-3,
        "checkpoint_steps": 3,
    }
    whole = PolicySettings(**fields, output=tmp_path / "whole")
    policy.train(whole)

    killed = PolicySettings(**fields, output=tmp_path / "killed")
    config = tmp_path / "config.json"
    config.write_text(killed.model_dump_json())
    command = [sys.executable, "-m", "trainer.training.policy", "--config", str(config)]
    with (tmp_path / "log").open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not list(killed.output.glob("checkpoints/*/trainer_state.json")):
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    assert not (killed.output / "manifest.json").exists()

    manifest = policy.train(killed)
    assert losses(killed.output) == pytest.approx(losses(whole.output), rel=1e-5)
    assert manifest.metrics["held_out_loss"] == pytest.approx(
        json.loads((whole.output / "manifest.json").read_text())["metrics"]["held_out_loss"]
    )


def test_a_training_that_is_done_is_not_done_again(trained_policy: Path) -> None:
    manifest = json.loads((trained_policy / "manifest.json").read_text())
    written = (trained_policy / "model" / "model.safetensors").stat().st_mtime_ns
    settings = PolicySettings.model_validate(manifest["settings"])
    assert policy.train(settings).model_dump(mode="json") == manifest
    assert (trained_policy / "model" / "model.safetensors").stat().st_mtime_ns == written


def test_packing_without_an_attention_that_keeps_rows_apart_is_refused(
    rows: Path, base: Path, tmp_path: Path
) -> None:
    settings = PolicySettings(
        **BATCHES,
        data=(rows / "solutions.jsonl",),
        base=base,
        output=tmp_path / "out",
        packing=True,
    )
    with pytest.raises(BadSettings, match="flash_attention_2"):
        policy.train(settings)
