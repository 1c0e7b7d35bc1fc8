"""A store on S3, over real HTTP."""

import json
import multiprocessing
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.common.models import gc
from services.common.models.errors import (
    AliasMoved,
    ModelDamaged,
    ModelExists,
    ModelNotFound,
    StoreUnreachable,
)
from services.common.models.remote import RemoteBackend
from services.common.models.store import ModelStore, StoredModel
from tests.support.folders import make_folder

FIELDS: dict[str, Any] = {"licence": "Apache-2.0", "prompt_style": "bare"}


@pytest.fixture
def store(url: str, tmp_path: Path) -> ModelStore:
    return ModelStore(url, cache=tmp_path / "cache")


@pytest.fixture
def other(url: str, tmp_path: Path) -> ModelStore:
    """The same store from another machine."""
    return ModelStore(url, cache=tmp_path / "elsewhere")


@pytest.fixture
def stored(store: ModelStore, tmp_path: Path) -> StoredModel:
    return store.publish("policy", "one", make_folder(tmp_path / "made"), **FIELDS)


def overwrite(store: ModelStore, name: str, content: bytes) -> None:
    backend = store.backend
    assert isinstance(backend, RemoteBackend)
    backend._fs.pipe_file(backend._key("policy", "one", name), content)


def delete(store: ModelStore, name: str) -> None:
    backend = store.backend
    assert isinstance(backend, RemoteBackend)
    backend._fs.rm_file(backend._key("policy", "one", name))


def test_what_is_published_is_opened_elsewhere(
    stored: StoredModel, other: ModelStore, tmp_path: Path
) -> None:
    opened = other.open("policy", "one")
    assert opened.manifest == stored.manifest
    assert opened.path == tmp_path / "elsewhere/policy/one"
    for name in stored.manifest.files:
        assert (opened.path / name).read_bytes() == (stored.path / name).read_bytes()
    assert other.versions("policy") == ["one"]
    assert list(other.manifests("policy")) == ["one"]


def test_versions_never_change(stored: StoredModel, other: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelExists, match="'one' is in the store already"):
        other.publish("policy", "one", make_folder(tmp_path / "made"), **FIELDS)
    replaced = other.publish(
        "policy", "one", make_folder(tmp_path / "new", numbers=b"\7\7"), replace=True, **FIELDS
    )
    assert other.open("policy", "one") == replaced


def test_a_replaced_version_is_fetched_again(
    store: ModelStore, stored: StoredModel, other: ModelStore, tmp_path: Path
) -> None:
    other.open("policy", "one")
    made = make_folder(tmp_path / "new", numbers=b"\7\7")
    new = store.publish("policy", "one", made, replace=True, **FIELDS)
    assert other.open("policy", "one").manifest == new.manifest


def test_harm_is_refused_by_name_and_nothing_is_kept(
    stored: StoredModel, other: ModelStore
) -> None:
    weights = (stored.path / "model.safetensors").read_bytes()
    for content, said in (
        (weights[:-1] + b"\xff", "model.safetensors: altered"),
        (weights[:-1], "model.safetensors: .* bytes where the manifest says"),
        (weights + b"x", "model.safetensors: over the"),
    ):
        overwrite(other, "model.safetensors", content)
        with pytest.raises(ModelDamaged, match=said):
            other.open("policy", "one")
        assert not (other.root / "policy/one").exists()
    delete(other, "model.safetensors")
    with pytest.raises(ModelDamaged, match=r"model.safetensors: missing"):
        other.open("policy", "one")
    fault = other.manifests("policy", counted=True)["one"]
    assert "model.safetensors: missing" in str(fault)


def test_a_half_written_version_is_none_and_gc_removes_it(
    stored: StoredModel, other: ModelStore
) -> None:
    delete(other, "manifest.json")
    assert other.manifests("policy", counted=True) == {}
    with pytest.raises(ModelDamaged, match=r"manifest.json: missing"):
        other.open("policy", "one")
    sweep = gc.plan(other, set(), older_than=timedelta(0))
    assert "policy/one" in [leftover.name for leftover in sweep.leftovers]
    gc.sweep(other, set(), sweep)
    assert other.versions("policy") == []
    with pytest.raises(ModelNotFound):
        other.open("policy", "one")


def test_a_copy_that_was_cut_is_fetched_anew(stored: StoredModel, other: ModelStore) -> None:
    opened = other.open("policy", "one")
    (opened.path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelDamaged, match=r"model.safetensors: 0 bytes"):
        other.open_copy("policy", "one")
    assert other.open("policy", "one") == other.open_copy("policy", "one") == opened


def test_an_alias_moves_once(stored: StoredModel, store: ModelStore, other: ModelStore) -> None:
    store.aliases.move("policy", "production", "one", by="ann", expect=None)
    with pytest.raises(AliasMoved):
        other.aliases.move("policy", "production", "one", by="bob", expect=None)
    assert other.resolve("policy", "production") == "one"
    assert [move.by for move in other.aliases.history("policy", "production")] == ["ann"]


def publish(url: str, cache: Path, made: Path, barrier: Any, outcomes: Any) -> None:
    store = ModelStore(url, cache=cache)
    barrier.wait(60)
    try:
        store.publish("policy", "one", made, **FIELDS)
        outcomes.put("published")
    except ModelExists:
        outcomes.put("taken")


def test_of_two_publishers_at_once_one_wins_whole(url: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, outcomes = context.Barrier(2), context.Queue()
    processes = [
        context.Process(
            target=publish,
            args=(
                url,
                tmp_path / f"cache{i}",
                make_folder(tmp_path / str(i), numbers=bytes([i, i])),
                barrier,
                outcomes,
            ),
        )
        for i in range(2)
    ]
    for process in processes:
        process.start()
    assert sorted(outcomes.get(timeout=60) for _ in processes) == ["published", "taken"]
    for process in processes:
        process.join(30)
    ModelStore(url, cache=tmp_path / "reader").open("policy", "one")


def hang_in_fetch(url: str, cache: Path, reached: Any) -> None:
    """Fetch, but stop for good in the middle of the second file."""
    store = ModelStore(url, cache=cache)
    backend = store.backend
    assert isinstance(backend, RemoteBackend)
    whole, fetched = backend._fetch, []

    def fetch(key: str, name: str, entry: Any, path: Path) -> None:
        if not fetched:
            fetched.append(name)
            whole(key, name, entry, path)
            return
        path.write_bytes(b"half")
        reached.set()
        signal.pause()

    backend._fetch = fetch  # type: ignore[method-assign]  # to be killed at a known place
    store.open("policy", "one")


def test_killed_in_a_download_it_comes_back_and_keeps_what_was_whole(
    url: str, stored: StoredModel, other: ModelStore
) -> None:
    context = multiprocessing.get_context("spawn")
    reached = context.Event()
    process = context.Process(target=hang_in_fetch, args=(url, other.root, reached))
    process.start()
    assert reached.wait(60)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(30)
    assert not (other.root / "policy/one").exists()

    backend = other.backend
    assert isinstance(backend, RemoteBackend)
    whole, fetched = backend._fetch, []

    def fetch(key: str, name: str, entry: Any, path: Path) -> None:
        fetched.append(name)
        whole(key, name, entry, path)

    backend._fetch = fetch  # type: ignore[method-assign]  # to be watched
    assert other.open("policy", "one").manifest == stored.manifest
    assert len(fetched) == len(stored.manifest.files) - 1


def test_a_store_that_is_not_there_is_named(s3: None, tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="s3://absent/store"):
        ModelStore("s3://absent/store", cache=tmp_path).versions("policy")
    with pytest.raises(StoreUnreachable, match="nonsense://x"):
        ModelStore("nonsense://x", cache=tmp_path)


def test_a_manifest_is_not_believed_because_it_is_there(
    stored: StoredModel, other: ModelStore
) -> None:
    fields = json.loads((stored.path / "manifest.json").read_text())
    fields["version"] = "two"
    overwrite(other, "manifest.json", json.dumps(fields).encode())
    with pytest.raises(ModelDamaged, match="describes policy 'two'"):
        other.open("policy", "one")


def requests_of(store: ModelStore) -> list[str]:
    """What a store asks its server from here on."""
    backend = store.backend
    assert isinstance(backend, RemoteBackend)
    listing, read, seen = backend._listing, backend.read, list[str]()

    def list_below(path: str) -> dict[str, Any]:
        seen.append(f"list {path.removeprefix(backend._root)}")
        return listing(path)

    def read_one(name: str) -> bytes:
        seen.append(f"read {name}")
        return read(name)

    backend._listing, backend.read = list_below, read_one  # type: ignore[method-assign]
    return seen


def test_versions_are_listed_by_the_index_alone(
    store: ModelStore, other: ModelStore, tmp_path: Path
) -> None:
    for version in ("one", "two", "three"):
        store.publish("policy", version, make_folder(tmp_path / "made"), **FIELDS)
    seen = requests_of(other)
    assert other.manifests("policy") == store.manifests("policy", counted=True)
    assert seen == ["list /index/policy", "read index/policy/0000000003.json"]
    store.backend.remove("policy", "two")
    assert other.versions("policy") == ["one", "three"]


def test_what_other_tools_have_brought_is_found_by_gc_or_when_asked(
    stored: StoredModel, store: ModelStore, other: ModelStore, tmp_path: Path
) -> None:
    """A child that is not in the index keeps its parent all the same."""
    backend = store.backend
    assert isinstance(backend, RemoteBackend)
    child = ModelStore(tmp_path / "local").publish(
        "policy", "child", make_folder(tmp_path / "made2"), parent="one", **FIELDS
    )
    for path in child.path.iterdir():
        backend._fs.put_file(str(path), backend._key("policy", "child", path.name))
    assert other.versions("policy") == ["one"]
    sweep = gc.plan(other, set(), keep_latest=0, older_than=timedelta(0))
    assert sweep.kept == {("policy", "one"): "parent of child"}
    removed = gc.sweep(other, {("policy", "child")}, sweep)
    assert removed.versions == []
    assert store.versions("policy") == ["child", "one"]
    backend.erase("index/policy/0000000001.json")
    backend.erase("index/policy/0000000002.json")
    assert other.versions("policy") == ["child", "one"]
    other.reindex("policy")
    assert [*(backend.listed("policy") or {})] == ["child", "one"]
