"""A real Prometheus reads the real services."""

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from rstar.stack.ports import free_ports
from tests.support.fleet import running, until
from tests.support.model_service import started
from tests.support.prometheus import ALERTS, promtool, scraping

# A port that nobody listens on.
NOBODY = "127.0.0.1:9"
PROBLEM = {"problem": "What is 1 + 1?", "budget": {"rollouts": 4}}


async def read(client: httpx.AsyncClient, address: str) -> str:
    reply = await client.get(f"http://{address}/metrics")
    assert reply.status_code == 200
    return reply.text


async def shown_by_top(client: httpx.AsyncClient, url: str, addresses: list[str]) -> None:
    """`rstar top` shows a search while it runs, what it needs, and what it spends."""
    budget = {"rollouts": 10_000, "tokens": 10_000_000, "seconds": 120}
    body = {**PROBLEM, "budget": budget, "async": True}
    place = (await client.post(f"{url}/solve", json=body)).headers["location"]
    search_id = place.rpartition("/")[2]
    options = [f"--metrics={address}" for address in (*addresses, NOBODY)]
    top = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rstar.main", "top", "--url", url, *options),
        *("--every", "0.5", "--rounds", "2"),
        env={**os.environ, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        text = (await top.communicate())[0].decode()
    assert (await client.delete(f"{url}{place}")).status_code == 204
    assert top.returncode == 0
    assert search_id in text
    assert PROBLEM["problem"] in text
    for row in (*addresses, url):
        assert re.search(rf"{re.escape(row)}\W+up", text), text
    assert re.search(rf"{NOBODY}\W+.*refused", text), text
    for dependency in ("policy", "ppm", "sandbox", "redis"):
        assert re.search(rf"{dependency}\W+ready", text), text
    assert re.search(r"[1-9][0-9.]* nodes/s", text), text
    assert re.search(r"[1-9][0-9.]* steps/s", text), text


async def test_prometheus_sees_what_the_stack_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sandbox_port, ppm_port = free_ports("127.0.0.1", 2)
    monkeypatch.setenv("RSTAR_SANDBOX_METRICS_PORT", str(sandbox_port))
    with tempfile.TemporaryDirectory(prefix="rstar-") as folder:
        async with (
            running(Path(folder), replicas=1, think_seconds=0.0) as fleet,
            started("ppm", tmp_path / "ppm.log", metrics_port=ppm_port) as ppm,
            httpx.AsyncClient(timeout=60) as client,
        ):
            await ppm.address()
            (replica,) = fleet.replicas
            jobs = {
                "search": replica.url.removeprefix("http://"),
                "sandbox": f"127.0.0.1:{sandbox_port}",
                "ppm": f"127.0.0.1:{ppm_port}",
            }
            async with scraping(jobs, ALERTS, tmp_path) as prometheus:

                async def all_up() -> bool:
                    return await prometheus.targets() == dict.fromkeys(jobs, "up")

                await until(all_up)
                assert "RstarSearchesFail" in await prometheus.alerts()

                async def rates() -> bool:
                    reply = await client.post(f"{replica.url}/solve", json=PROBLEM)
                    assert reply.status_code == 200, reply.text
                    queries = (
                        "sum(rate(rstar_search_nodes_total[5s]))",
                        "sum(rate(rstar_search_policy_tokens_total[5s]))",
                        'sum(rate(rstar_sandbox_runs_total{status="ok"}[5s]))',
                    )
                    found = [await prometheus.ask(query) for query in queries]
                    return all(one and float(one[0]["value"][1]) > 0 for one in found)

                await until(rates)
                assert await prometheus.ask("rstar_sandbox_mode_info == 1")
                assert await prometheus.ask("rstar_ppm_in_flight_solutions == 0")
            await shown_by_top(client, replica.url, [jobs["sandbox"], jobs["ppm"]])
            for address in jobs.values():
                text = await read(client, address)
                await asyncio.to_thread(promtool, "check", "metrics", text=text)
