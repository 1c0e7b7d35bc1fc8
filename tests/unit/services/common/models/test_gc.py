import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.common.models import gc
from services.common.models.manifest import Adapter
from services.common.models.store import ModelStore
from tests.support.folders import make_folder

OLD = "2024-01-01T00:00:00Z"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def put(store: ModelStore, version: str, *, created: str = OLD, **fields: Any) -> None:
    made = make_folder(store.root.parent / "made")
    stored = store.publish("policy", version, made, licence="MIT", prompt_style="bare", **fields)
    path = stored.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": created}))


def point(store: ModelStore, alias: str, version: str) -> None:
    before = store.aliases.target("policy", alias)
    store.aliases.move("policy", alias, version, by="me", expect=before)


def plan(store: ModelStore, *pinned: str, keep: int = 0) -> gc.Sweep:
    pins = {("policy", version) for version in pinned}
    return gc.plan(store, pins, keep_latest=keep)  # type: ignore[arg-type]  # kinds by name


def test_what_nothing_needs_goes_and_all_else_stays(store: ModelStore) -> None:
    for version in ("grandparent", "base", "was", "searched", "idle"):
        put(store, version)
    put(store, "now", parent="grandparent")
    put(store, "tuned", adapter=Adapter(base="base", rank=8, alpha=16))
    put(store, "trial")
    put(store, "smollm2-135m")
    for alias, version in (("production", "was"), ("production", "now"), ("candidate", "trial")):
        point(store, alias, version)

    sweep = plan(store, "searched")

    assert {version for _, version in sweep.versions} == {"idle", "tuned"}
    assert {version: why for (_, version), why in sweep.kept.items()} == {
        "grandparent": "parent of now",
        "base": "parent of tuned",
        "was": "alias previous",
        "now": "alias production",
        "trial": "alias candidate",
        "searched": "pinned by a search",
        "smollm2-135m": "in the catalog",
    }
    removed = gc.sweep(store, set(), sweep)
    assert removed.versions == sweep.versions
    assert store.versions("policy") == sorted(version for _, version in sweep.kept)


def test_the_newest_the_young_and_the_damaged_stay(store: ModelStore) -> None:
    put(store, "old", created="2024-01-01T00:00:00Z")
    put(store, "newer", created="2024-01-02T00:00:00Z")
    put(store, "damaged")
    (store.root / "policy/damaged/tokenizer.json").unlink()
    store.publish(
        "policy", "young", make_folder(store.root / "../m"), licence="MIT", prompt_style="bare"
    )
    sweep = plan(store, keep=2)
    assert sweep.versions == [("policy", "old")]
    assert sweep.kept["policy", "damaged"] == "damaged"


def test_what_an_alias_has_come_to_name_since_stays(store: ModelStore) -> None:
    put(store, "one")
    put(store, "two")
    sweep = plan(store)
    point(store, "candidate", "one")
    removed = gc.sweep(store, {("policy", "two")}, sweep)
    assert removed.versions == []
    assert store.versions("policy") == ["one", "two"]


def test_only_old_leftovers_go(store: ModelStore) -> None:
    put(store, "one")
    stale, fresh = store.root / "policy/.one.abc", store.root / "policy/half"
    for folder in (stale, fresh):
        make_folder(folder)
    for path in (stale, *stale.iterdir()):
        os.utime(path, (0, 0))
    sweep = gc.plan(store, set(), keep_latest=1, older_than=timedelta(hours=1))
    assert [leftover.name for leftover in sweep.leftovers] == ["policy/.one.abc"]
    gc.sweep(store, set(), sweep)
    assert not stale.exists()
    assert fresh.exists()


def test_what_a_publisher_has_come_to_name_as_its_parent_since_stays(store: ModelStore) -> None:
    put(store, "parent")
    put(store, "idle")
    sweep = plan(store)
    put(store, "child", parent="parent")
    removed = gc.sweep(store, set(), sweep)
    assert removed.versions == [("policy", "idle")]
    assert store.versions("policy") == ["child", "parent"]


def test_what_was_finished_since_is_no_leftover(store: ModelStore) -> None:
    half = make_folder(store.root / "policy/half")
    for path in (half, *half.iterdir()):
        os.utime(path, (0, 0))
    sweep = gc.plan(store, set(), keep_latest=0, older_than=timedelta(hours=1))
    assert [leftover.name for leftover in sweep.leftovers] == ["policy/half"]
    (half / "manifest.json").write_text("{}")
    gc.sweep(store, set(), sweep)
    assert half.exists()
