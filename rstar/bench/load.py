"""`rstar bench load`: many users at once, sent by k6, against scripted models."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Final

from rstar.bench import machine
from rstar.bench.rig import Rig, running

SCRIPT: Final = Path(__file__).parent / "solve.js"
_LOOK_SECONDS: Final = 0.5


async def k6(program: str, url: str, environment: dict[str, int]) -> dict[str, Any]:
    """Run the script; its summary. RuntimeError where k6 could not do its work."""
    options = [f"--env={name}={value}" for name, value in environment.items()]
    process = await asyncio.create_subprocess_exec(
        *(program, "run", "--quiet", "--no-usage-report", f"--env=URL={url}", *options),
        str(SCRIPT),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "K6_NO_USAGE_REPORT": "true"},
    )
    try:
        printed, _ = await process.communicate()
    except BaseException:
        process.terminate()
        await process.wait()
        raise
    # k6 exits with 99 where a threshold is crossed: the figures say which.
    lines = [line for line in printed.decode().splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"k6 ended with code {process.returncode} and no figures")
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


async def measure(program: str, users: int, rounds: int, tokens: int) -> dict[str, Any]:
    """All figures; the keys at the top level are stable."""
    environment = {"USERS": users, "ROUNDS": rounds, "TOKENS": tokens}
    async with running() as rig:
        # Cold connections and modules that were never run.
        await k6(program, rig.url, {"USERS": 1, "ROUNDS": 1, "TOKENS": tokens})
        before = rig.memory_bytes("search")
        sending = asyncio.create_task(k6(program, rig.url, environment))
        peak = await _peak(rig, sending)
        figures = await sending
        after = rig.memory_bytes("search")
    return figures | {
        "users": users,
        "search_mib": {
            "before": round(before / 2**20),
            "peak": round(peak / 2**20),
            "after": round(after / 2**20),
        },
        "machine": machine.describe(),
    }


async def _peak(rig: Rig, sending: "asyncio.Task[dict[str, Any]]") -> int:
    """Most memory that the search held until the load was over."""
    peak = 0
    while not sending.done():
        peak = max(peak, rig.memory_bytes("search"))
        await asyncio.wait([sending], timeout=_LOOK_SECONDS)
    return peak


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""

    def row(name: str, key: str) -> str:
        cells = ", ".join(f"{at} {value:.0f}" for at, value in figures[key].items())
        return f"{name:32} {cells}"

    memory = ", ".join(f"{when} {mib}" for when, mib in figures["search_mib"].items())
    return "\n".join(
        [
            (
                f"{figures['users']} users, {figures['requests']} requests, "
                f"{figures['failed']} failed checks, {figures['nodes']} nodes, {figures['machine']}"
            ),
            row("request, ms", "request_ms"),
            row("of it outside the search, ms", "outside_search_ms"),
            f"{'memory of the search, MiB':32} {memory}",
        ]
    )
