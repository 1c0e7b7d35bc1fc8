"""`rstar bench stopping`."""

import json
from pathlib import Path

from typer.testing import CliRunner

from rstar.main import app


def test_a_simulation_is_repeated_by_its_seed_and_named_as_such() -> None:
    command = ["bench", "stopping", "--problems", "50", "--orders", "2", "--json"]
    first, second = [CliRunner().invoke(app, command) for _ in range(2)]
    assert first.exit_code == 0, first.output
    assert first.output == second.output
    figures = json.loads(first.output)
    assert (figures["source"], figures["problems"], figures["samples"]) == ("simulation", 50, 800)
    settled, *by_posterior = figures["outcomes"]
    assert (settled["threshold"], settled["changed"]) == (None, 0.0)
    assert all(one["saved"] >= settled["saved"] for one in by_posterior)


def test_a_folder_without_a_run_is_refused_by_name(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "stopping", "--records", str(tmp_path)])
    assert result.exit_code == 2
    # The frame around the message breaks its lines anywhere.
    assert "norunofanevaluation" in "".join(c for c in result.output if c.isalnum())
