"""`rstar bench load`: the script is there, its summary is read, the report shows it."""

import sys
from pathlib import Path

import pytest

from rstar.bench import load


def program(folder: Path, body: str) -> str:
    """A program that stands for k6."""
    path = folder / "k6"
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_the_summary_is_read_whatever_else_is_printed(tmp_path: Path) -> None:
    body = 'import sys; print("noise"); print(\'{"failed": 1}\'); sys.exit(99)'
    assert await load.k6(program(tmp_path, body), "http://x", {"USERS": 1}) == {"failed": 1}


async def test_a_load_generator_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="code 107 and no figures"):
        await load.k6(program(tmp_path, "import sys; sys.exit(107)"), "http://x", {})


def test_the_text_shows_every_figure() -> None:
    trend = {"p50": 100.4, "p95": 200.0, "p99": 300.0, "max": 400.0}
    figures = {
        "users": 200,
        "requests": 200,
        "failed": 0,
        "nodes": 12_800,
        "request_ms": trend,
        "outside_search_ms": trend | {"p99": 17.0},
        "search_mib": {"before": 90, "peak": 140, "after": 120},
        "machine": {"cores": 2},
    }
    text = load.render(figures)
    for shown in ("200 users", "12800 nodes", "p99 300", "p99 17", "peak 140"):
        assert shown in text
    assert load.SCRIPT.exists()
