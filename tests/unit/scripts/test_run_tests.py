"""The lanes of `make test`: what they say, how they end, and that no test is left out."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from scripts.run_tests import LANES, run

SAYS = "import sys; print('here is', sys.argv[1]); sys.exit(int(sys.argv[2]))"


def test_all_run_and_the_first_failure_counts(capfd: pytest.CaptureFixture[str]) -> None:
    codes = {"one": 0, "two": 3, "three": 4}
    lanes = {name: [sys.executable, "-c", SAYS, name, f"{code}"] for name, code in codes.items()}
    assert run(lanes) == 3
    said = capfd.readouterr().out
    assert all(f"here is {name}" in said for name in codes)
    assert "exit codes: 0 one, 3 two, 4 three" in said
    assert run({"one": lanes["one"]}) == 0


def test_an_interruption_reaches_every_lane(tmp_path: Path) -> None:
    lane = (
        "import sys, time; from pathlib import Path; from contextlib import suppress\n"
        "begun = Path(sys.argv[1])\n"
        "begun.touch()\n"
        "with suppress(KeyboardInterrupt):\n"
        "    time.sleep(100)\n"
        "begun.with_suffix('.ended').touch()\n"
    )
    names = ("one", "two", "three")
    lanes = {name: [sys.executable, "-c", lane, f"{tmp_path / name}.begun"] for name in names}
    runner = subprocess.Popen(
        [sys.executable, "-c", f"from scripts.run_tests import run\nrun({lanes!r})"],
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.begun"))) < len(names):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # To the runner alone: a terminal's Ctrl-C would reach all of them by itself.
    os.kill(runner.pid, signal.SIGINT)
    _, complaint = runner.communicate(timeout=60)
    assert b"KeyboardInterrupt" in complaint
    assert sorted(path.stem for path in tmp_path.glob("*.ended")) == sorted(names)


def test_the_lanes_hold_every_folder_of_tests_once() -> None:
    first, models, last = LANES.values()
    assert (first[:2], models, last[:2]) == (("-m", "not model"), ("-m", "model"), first[:2])
    folders = [name for name in (*first, *last) if name.startswith("tests/")]
    left_out = [name.removeprefix("--ignore=") for name in last if name.startswith("--ignore=")]
    assert set(left_out) <= set(first)
    assert all(Path(folder).is_dir() for folder in folders)
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    every = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    assert sorted(set(folders) - set(left_out)) == sorted(every)
