"""Which PPM a stack serves where its user leaves that open."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rstar.own_ppm import AUTO, with_ppm
from rstar.stack import preflight
from rstar.stack.config import StackConfig
from services.common.models import head
from services.common.models.head_extraction import extract
from services.common.models.store import ModelStore
from tests.support.heads import store_with_head

JUDGE = "small-judge"


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    """With a policy for which a PPM comes along."""
    config = StackConfig(home=tmp_path / "home", model="small", ppm=AUTO, port=0, grpc_port=0)
    store = store_with_head(ModelStore(str(config.store_folder)), tmp_path)
    extract(store.open("ppm", "trained"), store.open("policy", "small"), JUDGE, heads(tmp_path))
    return config


def heads(tmp_path: Path) -> Path:
    return tmp_path / "heads" / JUDGE


def test_the_ppm_that_comes_along_is_made_once(config: StackConfig, tmp_path: Path) -> None:
    notes: list[str] = []
    for _ in range(2):
        assert with_ppm(config, notes.append, tmp_path / "heads").ppm == JUDGE
    assert notes == [f"making the PPM {JUDGE} of small, once"]
    assert JUDGE in ModelStore(str(config.store_folder)).versions("ppm")


def test_without_memory_for_it_searches_go_unguided(
    config: StackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: preflight.GIB)
    notes: list[str] = []
    assert with_ppm(config, notes.append, tmp_path / "heads").ppm == ""
    assert f"searches go unguided, without the PPM {JUDGE}: 1.0 GiB of memory" in notes[-1]
    assert "for small and a PPM" in notes[-1]
    assert JUDGE not in ModelStore(str(config.store_folder)).versions("ppm"), "not made in vain"


def test_without_its_base_searches_go_unguided(config: StackConfig, tmp_path: Path) -> None:
    notes: list[str] = []
    elsewhere = replace(config, home=tmp_path / "elsewhere")
    assert with_ppm(elsewhere, notes.append, tmp_path / "heads").ppm == ""
    assert "no policy 'small'" in notes[-1]


def test_a_base_that_is_gone_or_a_head_that_is_damaged_is_said(
    config: StackConfig, tmp_path: Path
) -> None:
    notes: list[str] = []
    assert with_ppm(config, notes.append, tmp_path / "heads").ppm == JUDGE
    shutil.rmtree(config.store_folder / "policy" / "small")
    assert with_ppm(config, notes.append, tmp_path / "heads").ppm == ""
    assert "no policy 'small'" in notes[-1]
    (heads(tmp_path) / head.TENSORS).write_bytes(b"short")
    assert with_ppm(config, notes.append, tmp_path / "heads").ppm == ""
    assert head.TENSORS in notes[-1]


@pytest.mark.parametrize(
    ("asked", "chosen"), [("none", ""), ("", ""), ("round-3", "round-3"), (AUTO, "")]
)
def test_what_is_named_is_taken(tmp_path: Path, asked: str, chosen: str) -> None:
    config = StackConfig(home=tmp_path, model="another", ppm=asked)
    assert with_ppm(config, pytest.fail, tmp_path / "heads").ppm == chosen


def test_a_program_in_the_policys_place_has_none(config: StackConfig, tmp_path: Path) -> None:
    program = replace(config, policy_module="trainer.lab.solver")
    assert with_ppm(program, pytest.fail, tmp_path / "heads").ppm == ""
