"""What the services' logs say of a search, and what they do not."""

import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.support.fleet import Replica, running

PROBLEM = "What is 20 + 21? Ask at 4711 Marmalade Street."


async def solved(replica: Replica) -> dict[str, Any]:
    """The solution of the problem."""
    async with httpx.AsyncClient(base_url=replica.url, timeout=60) as client:
        body = {"problem": PROBLEM, "budget": {"rollouts": 4}}
        response = await client.post("/solve", json=body)
        # Refused input is the other way in which it might get into a log.
        refused = await client.post("/solve", json={**body, "budget": {"rollouts": PROBLEM}})
    assert (response.status_code, refused.status_code) == (200, 422), response.text
    solution: dict[str, Any] = response.json()
    return solution


async def test_no_line_has_the_problem_or_code_unless_it_is_asked_for() -> None:
    with tempfile.TemporaryDirectory(prefix="rstar-") as name:
        folder = Path(name)
        async with running(
            folder, replicas=1, think_seconds=0.0, log_level="debug", log_format="json"
        ) as fleet:
            discreet = await solved(fleet.replicas[0])
            asked = fleet.replica("asked", log_problems=True)
            fleet.replicas.append(asked)
            await asked.start()
            told = await solved(asked)
        logs = read(folder)
    steps = [step[part] for step in discreet["steps"] for part in ("text", "code")]
    assert all(steps)
    assert {"search-0", "asked", "sandbox"} <= logs.keys()
    for service, text in logs.items():
        if service != "asked":
            assert not [part for part in ("Marmalade", *steps) if part in text], service
    (line,) = lines(logs["search-0"], discreet)
    assert {"stop_reason", "answered", "confidence", "policy_tokens", "seconds"} <= line.keys()
    (line,) = lines(logs["asked"], told)
    assert (line["problem"], line["answer"]) == (PROBLEM, told["answer"])
    assert line["code"] == "\n".join(step["code"] for step in told["steps"])


def read(folder: Path) -> dict[str, str]:
    """The logs in a folder, by who wrote them."""
    return {path.stem: path.read_text("utf-8") for path in folder.glob("*.log")}


def lines(text: str, solution: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of a log that name a search."""
    every = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in every if line.get("search_id") == solution["search_id"]]
