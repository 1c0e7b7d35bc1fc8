"""The store of `rstar evolve`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rstar.evolve import Exit, app

TARGET = "localhost:1"


def run(folder: Path, services: dict[str, str]) -> Result:
    for name, answer in (("train", "1"), ("held_out", "2")):
        row = {"id": name, "question": f"What is {answer}?", "answer": answer}
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    config = {
        "name": "tried",
        "folder": "rounds",
        "base": "missing",
        "bootstrap": {"model": "missing"},
        "gate": False,
        "harvest": {"problems": {"file": "train.jsonl"}},
        "evaluation": {"problems": {"file": "held_out.jsonl"}},
        "services": services,
        "rounds": [{"guidance": "answer"}],
    }
    file = folder / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return CliRunner().invoke(app, ["--config", str(file)])


def test_named_services_have_the_store_that_the_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSTAR_STORE", str(tmp_path / "models"))
    done = run(tmp_path, {"search": TARGET, "redis_url": "redis://localhost:1"})
    assert done.exit_code == Exit.REFUSED
    assert str(tmp_path / "models") in done.output


def test_a_stack_of_ones_own_takes_no_other_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSTAR_STORE", str(tmp_path / "models"))
    done = run(tmp_path, {})
    assert done.exit_code == Exit.REFUSED
    assert "services.search" in done.output
    assert not (tmp_path / "rounds").exists()
