"""What the set-up decides, without installing anything."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[3] / "scripts" / "setup.py"


@pytest.fixture
def setup() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("rstar_setup", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_torch_s_pin_is_the_cpu_extra_s(setup: ModuleType) -> None:
    name, _, version = setup.torch_pin().partition("==")
    assert name == "torch"
    assert version.endswith("+cpu")


def test_a_stamp_counts_only_for_what_it_was_made_for(setup: ModuleType, tmp_path: Path) -> None:
    key = setup.stamp_key("cpu")
    assert key != setup.stamp_key("gpu")
    assert setup.installed(tmp_path, key) == set()
    stamp = tmp_path / setup.STAMP
    stamp.write_text(json.dumps({"key": key, "extras": ["cpu", "stack"]}))
    assert setup.installed(tmp_path, key) == {"cpu", "stack"}
    assert setup.installed(tmp_path, setup.stamp_key("gpu")) == set()
    stamp.write_text("{ cut short")
    assert setup.installed(tmp_path, key) == set()


def test_a_second_run_does_nothing(setup: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rstar").touch()
    stamp = {"key": setup.stamp_key("cpu"), "extras": ["cpu", "dev", "stack"]}
    (tmp_path / setup.STAMP).write_text(json.dumps(stamp))
    setup.set_up(tmp_path, "cpu", dev=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", setup.STAMP]


def test_too_small_a_disk_is_refused(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(setup.DISK_BYTES, "cpu", 1 << 60)
    with pytest.raises(setup.SetupError, match="free disk are needed"):
        setup.set_up(tmp_path / "venv", "cpu", dev=False)
    assert not (tmp_path / "venv").exists()


def test_without_a_driver_the_engine_is_the_cpu_s(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert setup.detect_engine() == "cpu"


@pytest.mark.parametrize(
    ("script", "engine"),
    [("echo 'GPU 0: Some Card'", "gpu"), ("echo 'No devices'", "cpu"), ("exit 9", "cpu")],
)
def test_the_driver_s_word_decides(
    setup: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    engine: str,
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert setup.detect_engine() == engine


def test_no_source_of_torch_is_said_with_its_cure(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "torch_pin", lambda: "torch==0.0.0+cpu")
    monkeypatch.setattr(setup, "TORCH_CPU_INDEX", "http://127.0.0.1:9/whl/cpu")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(setup.SetupError, match="find-links"):
        setup.torch_source(Path(sys.executable))


def test_its_help_needs_nothing_installed() -> None:
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(PATH), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
