import json
from pathlib import Path

import pytest

from trainer.training.arguments import accumulation
from trainer.training.settings import BadSettings, PolicySettings, PpmSettings, load

NEEDED = {"data": ["rows.jsonl"], "base": "base", "output": "out"}


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**NEEDED, "epochs": 3, "lora": {"rank": 4}}))
    (tmp_path / "a.yaml").write_text(
        "data: [rows.jsonl]\nbase: base\noutput: out\nepochs: 3\nlora: {rank: 4}\n"
    )
    one, other = (load(tmp_path / f"a.{suffix}", PolicySettings) for suffix in ("json", "yaml"))
    assert one == other
    assert one.lora.rank == 4


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (json.dumps({**NEEDED, "epoch": 3}), "epoch: Extra inputs"),
        (json.dumps({**NEEDED, "batch": 6, "micro_batch": 4}), "no multiple of micro_batch 4"),
        (json.dumps({"base": "b", "output": "o"}), "data: Field required"),
        ("{", "a.json"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadSettings, match=fault):
        load(tmp_path / "a.json", PpmSettings)


def test_the_batch_does_not_depend_on_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PolicySettings(**NEEDED, batch=24, micro_batch=4)
    for processes, expected in [("1", 6), ("2", 3), ("6", 1)]:
        monkeypatch.setenv("WORLD_SIZE", processes)
        assert accumulation(settings) == expected
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(BadSettings, match="no multiple of 16"):
        accumulation(settings)
