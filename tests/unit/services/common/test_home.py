from pathlib import Path

import pytest

from services.common import home


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RSTAR_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_defaults_to_the_users_cache(tmp_path: Path) -> None:
    assert home.home() == tmp_path / ".cache" / "rstar"


def test_follows_xdg_cache_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert home.store_folder() == tmp_path / "xdg" / "rstar" / "store"


def test_ignores_a_relative_xdg_cache_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert home.home() == tmp_path / ".cache" / "rstar"


def test_rstar_home_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("RSTAR_HOME", "~/own")
    assert home.downloads_folder() == tmp_path / "own" / "downloads"
