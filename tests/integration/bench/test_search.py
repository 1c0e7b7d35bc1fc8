"""`rstar bench search` as a user runs it, small: real search, Redis and sandbox."""

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(120)
def test_all_figures_of_the_contract_come_from_a_real_run() -> None:
    command = [sys.executable, "-m", "rstar.main", "bench", "search", "--json", "--no-extras"]
    small = ["--levels", "2", "--nodes", "128", "--growth", "320"]
    done = subprocess.run([*command, *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["failed"] == 0
    assert figures["nodes_per_second"]["2"] > 0
    assert 0 < figures["redis_round_trips_per_node"] < 1
    assert figures["bytes_per_node"] > 50
    level = figures["levels"]["step"]["2"]
    assert level["nodes"] >= 64
    parts = {"search", "sandbox", "policy", "ppm", "redis"}
    assert set(level["cpu_ms_per_node"]) == parts | {"bench"}
    assert level["cpu_ms_per_node"]["sandbox"] > 0
    assert {"policy", "sandbox", "ppm", "log"} <= set(level["wait_ms_per_node"])
    assert level["wait_ms_per_node"]["sandbox"] > 0
    assert level["search_mib"] > 10
    # Redis allocates a log in steps, so that a small window may show none of them.
    assert sum(one["bytes_per_node"] for one in figures["growth"]) > 50
