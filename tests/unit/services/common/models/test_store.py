import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from services.common.models.errors import ModelDamaged, ModelError, ModelExists, ModelNotFound
from services.common.models.store import ModelStore, StoredModel
from tests.support.folders import make_folder

FIELDS: dict[str, Any] = {"licence": "Apache-2.0", "prompt_style": "bare"}


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def stored(store: ModelStore, tmp_path: Path) -> StoredModel:
    return store.publish("policy", "one", make_folder(tmp_path / "made"), **FIELDS)


def test_what_is_published_can_be_opened(store: ModelStore, stored: StoredModel) -> None:
    assert store.open("policy", "one") == stored
    assert stored.path == store.path("policy", "one")
    assert set(stored.manifest.files) == {"config.json", "tokenizer.json", "model.safetensors"}


def test_publishing_copies_unless_told_to_move(store: ModelStore, tmp_path: Path) -> None:
    made = make_folder(tmp_path / "made")
    store.publish("policy", "copied", made, **FIELDS)
    assert (made / "model.safetensors").exists()
    store.publish("policy", "moved", made, move=True, **FIELDS)
    assert not (made / "model.safetensors").exists()
    assert store.versions("policy") == ["copied", "moved"]


def test_a_ppm_keeps_its_scale(store: ModelStore, tmp_path: Path) -> None:
    made = make_folder(tmp_path / "made", "ppm")
    store.publish("ppm", "one", made, licence="Apache-2.0", scale=4.5, parent="zero", round=2)
    manifest = store.open("ppm", "one").manifest
    assert (manifest.scale, manifest.parent, manifest.round) == (4.5, "zero", 2)
    assert store.versions("policy") == []


def test_an_empty_store_has_no_versions(store: ModelStore) -> None:
    assert store.versions("policy") == []
    with pytest.raises(ModelNotFound, match=r"no policy 'one' in .*there: none"):
        store.open("policy", "one")


def test_a_missing_version_is_told_with_those_there(store: ModelStore, stored: StoredModel) -> None:
    with pytest.raises(ModelNotFound, match=r"no policy 'two' .*there: one"):
        store.open("policy", "two")


@pytest.mark.parametrize("version", ["", "..", "a/b", ".one", "x" * 101])
def test_refuses_names_that_are_no_folder(store: ModelStore, version: str) -> None:
    with pytest.raises(ModelError, match="model version"):
        store.open("policy", version)


def test_refuses_unknown_kinds(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="one of policy, ppm"):
        store.open("judge", "one")  # type: ignore[arg-type] # the mistake under test


def test_versions_never_change(store: ModelStore, stored: StoredModel, tmp_path: Path) -> None:
    other = make_folder(tmp_path / "other", numbers=b"\x09\x09")
    with pytest.raises(ModelExists, match="'one' is in the store already"):
        store.publish("policy", "one", other, **FIELDS)
    assert store.open("policy", "one") == stored


def test_replacing_is_asked_for(store: ModelStore, stored: StoredModel, tmp_path: Path) -> None:
    (stored.path / "model.safetensors").write_bytes(b"")
    other = make_folder(tmp_path / "other", numbers=b"\x09\x09")
    replaced = store.publish("policy", "one", other, replace=True, **FIELDS)
    assert store.open("policy", "one") == replaced
    assert [entry.name for entry in replaced.path.parent.iterdir()] == ["one"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (cut, "model.safetensors: .* bytes where the manifest says"),
        (flip, "model.safetensors: altered"),
        (Path.unlink, "model.safetensors: missing"),
    ],
)
def test_harm_to_a_file_is_refused_by_its_name(
    store: ModelStore, stored: StoredModel, harm: Any, said: str
) -> None:
    harm(stored.path / "model.safetensors")
    with pytest.raises(ModelDamaged, match=said):
        store.open("policy", "one")


def test_without_verifying_only_sizes_are_compared(store: ModelStore, stored: StoredModel) -> None:
    flip(stored.path / "model.safetensors")
    assert store.open("policy", "one", verify=False) == stored
    cut(stored.path / "model.safetensors")
    with pytest.raises(ModelDamaged):
        store.open("policy", "one", verify=False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model-00002.safetensors", "not in the manifest"),
        ("chat_template.jinja", "not in the manifest"),
        ("sub/adapter.safetensors", "not in the manifest"),
        ("pytorch_model.bin", "can run code"),
    ],
)
def test_refuses_files_that_were_added(
    store: ModelStore, stored: StoredModel, name: str, said: str
) -> None:
    path = stored.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    with pytest.raises(ModelDamaged, match=f"{name}: .*{said}"):
        store.open("policy", "one")


def test_refuses_links(store: ModelStore, stored: StoredModel, tmp_path: Path) -> None:
    weights = stored.path / "model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelDamaged, match=r"model.safetensors: neither a plain file"):
        store.open("policy", "one")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"surprise": 1}, "manifest.json: surprise"),
        ({"version": "two"}, "manifest.json: describes policy 'two'"),
        ({"files": {}}, "manifest.json: files"),
    ],
)
def test_a_manifest_that_cannot_be_believed_is_refused(
    store: ModelStore, stored: StoredModel, change: dict[str, Any], said: str
) -> None:
    path = stored.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelDamaged, match=said):
        store.open("policy", "one")


def test_a_half_written_version_is_none(store: ModelStore, stored: StoredModel) -> None:
    (stored.path / "manifest.json").unlink()
    assert store.versions("policy") == []
    with pytest.raises(ModelDamaged, match=r"manifest.json: missing"):
        store.open("policy", "one")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling.py"])
def test_unsafe_files_are_not_published(store: ModelStore, tmp_path: Path, name: str) -> None:
    made = make_folder(tmp_path / "made")
    (made / name).write_bytes(b"x")
    with pytest.raises(ModelDamaged, match=f"{name}: .*can run code"):
        store.publish("policy", "one", made, **FIELDS)


def test_a_failed_publish_leaves_nothing(store: ModelStore, tmp_path: Path) -> None:
    made = make_folder(tmp_path / "made")
    cut(made / "model.safetensors")
    with pytest.raises(ModelDamaged, match=r"model.safetensors"):
        store.publish("policy", "one", made, **FIELDS)
    make_folder(made)
    with pytest.raises(ModelError, match="scale"):
        store.publish("policy", "one", made, scale=1.0, **FIELDS)
    assert list(store.path("policy", "one").parent.iterdir()) == []


def publish_one(root: Path, made: Path, barrier: Any, outcomes: Any) -> None:
    barrier.wait(30)
    try:
        ModelStore(root).publish("policy", "one", made, **FIELDS)
        outcomes.put("published")
    except ModelExists:
        outcomes.put("taken")


def test_of_two_publishers_at_once_one_wins_whole(store: ModelStore, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, outcomes = context.Barrier(2), context.Queue()
    made = [make_folder(tmp_path / str(i), numbers=bytes([i, i])) for i in range(2)]
    processes = [
        context.Process(target=publish_one, args=(store.root, folder, barrier, outcomes))
        for folder in made
    ]
    for process in processes:
        process.start()
    assert sorted(outcomes.get(timeout=60) for _ in processes) == ["published", "taken"]
    for process in processes:
        process.join(30)
    store.open("policy", "one")
    assert [path.name for path in (store.root / "policy").iterdir()] == ["one"]
