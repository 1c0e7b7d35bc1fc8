"""Debian's Prometheus and promtool (package `prometheus`)."""

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from rstar.stack.ports import free_ports

START_SECONDS = 60
ALERTS = Path(__file__).parents[2] / "deploy" / "helm" / "rstar" / "monitoring" / "alerts.yaml"


def program(name: str) -> str:
    """Where it is; fails where it is not installed."""
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: apt-get install prometheus"
    return found


async def scraped(url: str) -> tuple[str, dict[str, float]]:
    """What Prometheus reads: the text, and the sum of each sample over its labels."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(url)).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return text, found


def check_metrics(text: str) -> None:
    """Fail where promtool finds a fault with metrics of ours; vLLM's have names of their own."""
    ours = [line for line in text.splitlines(keepends=True) if "vllm:" not in line]
    promtool("check", "metrics", text="".join(ours))


def promtool(*arguments: str, text: str = "") -> str:
    """What promtool says; fails where it finds a fault."""
    done = subprocess.run(
        [program("promtool"), *arguments], input=text, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Prometheus:
    """A running one."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        reply = await self._client.get("/api/v1/query", params={"query": query})
        assert reply.status_code == 200, reply.text
        found: list[dict[str, Any]] = reply.json()["data"]["result"]
        return found

    async def targets(self) -> dict[str, str]:
        """Health of each target by job."""
        reply = (await self._client.get("/api/v1/targets")).json()
        return {one["labels"]["job"]: one["health"] for one in reply["data"]["activeTargets"]}

    async def alerts(self) -> set[str]:
        """Names of the rules that are loaded."""
        reply = (await self._client.get("/api/v1/rules")).json()
        return {rule["name"] for group in reply["data"]["groups"] for rule in group["rules"]}


@contextlib.asynccontextmanager
async def scraping(
    jobs: Mapping[str, str], rules: Path, folder: Path, *, every: str = "250ms"
) -> AsyncIterator[Prometheus]:
    """A Prometheus that reads addresses by job, every quarter of a second unless told otherwise."""
    (port,) = free_ports("127.0.0.1", 1)
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]}
            for job, address in jobs.items()
        ],
    }
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config), "utf-8")
    promtool("check", "config", str(file))
    log = folder / "prometheus.log"
    process = _start(file, folder / "tsdb", port, log)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            await _ready(client, process, log)
            yield Prometheus(client)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def _ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            assert process.poll() is None, _said(log)
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/-/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


def _start(config: Path, data: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file)


def _said(log: Path) -> str:
    return log.read_text("utf-8")
