"""The laboratory's loop in its short form: two rounds on real services, killed once on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.common.models.store import ModelStore
from trainer.lab.base import shipped_base
from trainer.lab.problems import generate, write
from trainer.rounds.progress import read_progress

LEVELS = (1,)
ROUNDS = 2
PROBLEMS, HELD_OUT = 96, 64
MINUTES = 15
pytestmark = [pytest.mark.laboratory, pytest.mark.timeout(2 * MINUTES * 60)]


def configuration(folder: Path) -> dict[str, Any]:
    """The laboratory's own, with fewer and easier problems and shorter trainings."""
    asked = yaml.safe_load(Path("configs/lab.yaml").read_text(encoding="utf-8"))
    asked |= {"name": "short", "folder": str(folder / "rounds")}
    asked["harvest"]["problems"]["file"] = str(folder / "train.jsonl")
    asked["evaluation"]["problems"]["file"] = str(folder / "held_out.jsonl")
    asked["harvest"]["search"]["options"]["candidates"] = 4
    asked["evaluation"]["search"]["tokens"] = 120
    asked["policy"]["epochs"] = 10
    asked["ppm"]["epochs"] = 1
    asked["rounds"] = [
        {"guidance": "answer", "ladder": [{"rollouts": 4}]},
        {"guidance": "answer", "ladder": [{"rollouts": 8}]},
    ]
    return asked


class Laboratory:
    """A home and a folder of their own, and the commands in them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.config = folder / "lab.yaml"
        self.rounds = folder / "rounds"
        write(folder / "train.jsonl", list(generate(PROBLEMS, "train", 1, LEVELS)))
        write(folder / "held_out.jsonl", list(generate(HELD_OUT, "held_out", 2, LEVELS)))
        self.config.write_text(yaml.safe_dump(configuration(folder)), encoding="utf-8")
        self.store = ModelStore(str(self.home / "store"))
        shipped_base(self.store)

    def evolve(self, *arguments: str) -> "subprocess.Popen[str]":
        """`rstar evolve` with this configuration, in a session of its own."""
        threads = {"OMP_NUM_THREADS": "1", "RSTAR_HOME": str(self.home)}
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "rstar.main", "evolve", *arguments),
                *("--config", str(self.config)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | threads,
            start_new_session=True,
        )

    def finish(self, *arguments: str) -> str:
        """What a command prints, to its good end."""
        process = self.evolve(*arguments)
        try:
            said, _ = process.communicate(timeout=MINUTES * 60)
        finally:
            process.kill()
        assert process.returncode == 0, said
        return said


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """Problems and the base that ships."""
    return Laboratory(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def evolved(laboratory: Laboratory) -> Laboratory:
    """Both rounds, by two runs: the first one is killed while it learns from the first searches."""
    first = laboratory.evolve()
    deadline = time.monotonic() + MINUTES * 60
    harvested = laboratory.rounds / "round-1" / "harvest.json"
    try:
        while not harvested.exists():
            assert first.poll() is None, first.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate(timeout=60)
    before = harvested.stat().st_mtime_ns
    laboratory.finish()
    assert harvested.stat().st_mtime_ns == before, "the searches were done again"
    return laboratory


def test_it_goes_on_after_a_kill_and_every_stage_is_done_once(evolved: Laboratory) -> None:
    for progress in read_progress(evolved.rounds, ROUNDS):
        assert all(seconds is not None for seconds in progress.stages.values())
    for kind in ("policy", "ppm"):
        assert {"short-r1", "short-r2"} <= set(evolved.store.versions(kind))


def test_its_policy_learns_what_its_base_cannot_know(evolved: Laboratory) -> None:
    rounds = json.loads(evolved.finish("report", "--json"))
    assert [one["round"] for one in rounds] == [1, 2]
    for one in rounds:
        assert one["n"] == HELD_OUT
        assert one["tokens_per_problem"] > 0
        assert one["seconds"] > 0
        # The 95 % intervals do not even touch.
        assert one["policy_ci95"][0] > one["base_ci95"][1]
    # The second round's searches are those of the first one's policy, whom nobody helps.
    assert rounds[1]["harvest"]["coverage"][""]["solved"] > PROBLEMS / 2


def test_its_report_is_a_page(evolved: Laboratory) -> None:
    evolved.finish("report")
    page = evolved.rounds / "report"
    assert "short" in (page / "report.html").read_text(encoding="utf-8")
    assert list(page.glob("*.png"))
