"""`rstar bench harvest`: the queue of a harvest under a fleet of which a part is killed.

Real Redis, queue, commits and parquet; the searches are scripted and take no time. Worker processes
are killed at random moments and others started in their place, as Kubernetes would.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rstar.bench import machine
from rstar.stack.redis_server import RedisFolder
from trainer.harvest import parts
from trainer.harvest.queue import Queue, QueueDown
from trainer.harvest.run import HarvestFolder, create
from trainer.harvest.summary import summarise
from trainer.problems.problem import Problem

_START_SECONDS = 30.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is simulated.

    Attributes:
        problems: one search each.
        workers, processes: workers in all, spread evenly over processes.
        kill: share of the workers that are killed, with their processes.
        nodes: of each tree.
        lease: in seconds.
        seed: of the moments of the kills.
    """

    problems: int
    workers: int
    processes: int
    kill: float
    nodes: int
    lease: float
    seed: int

    @property
    def each(self) -> int:
        """Workers of one process."""
        return max(1, self.workers // self.processes)

    @property
    def kills(self) -> int:
        """Processes that are killed."""
        return round(self.kill * self.workers / self.each)


@dataclass(slots=True)
class _Fleet:
    command: list[str]
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self) -> None:
        """One more process."""
        self.processes.append(await asyncio.create_subprocess_exec(*self.command))

    async def kill(self, rng: random.Random) -> None:
        """Kill one at random, and start another."""
        running = [one for one in self.processes if one.returncode is None]
        if not running:
            return
        rng.choice(running).kill()
        await self.start()

    async def end(self) -> list[int]:
        """Wait for all; their exit codes."""
        return [await one.wait() for one in self.processes]

    async def stop(self) -> None:
        """Kill what still runs."""
        for one in self.processes:
            if one.returncode is None:
                one.kill()
            await one.wait()


async def simulate(asked: Simulation, home: Path) -> dict[str, Any]:
    """Run it in an empty folder; the figures."""
    with closing(RedisFolder(home / "redis")) as redis:
        server = await asyncio.create_subprocess_exec(
            *redis.command(), stdout=asyncio.subprocess.DEVNULL
        )
        try:
            return await _harvest(asked, home / "harvest", redis.url)
        finally:
            server.terminate()
            await server.wait()


async def _harvest(asked: Simulation, out: Path, url: str) -> dict[str, Any]:
    problems = [
        Problem(f"p{i}", f"Problem {i}: what is {i} + {i}?", "7", str(i % 5))
        for i in range(asked.problems)
    ]
    folder = create(out, problems, budget={"rollouts": 8})
    async with Queue(url, folder.settings.name, "bench", lease_seconds=asked.lease) as queue:
        await _until_up(queue)
        begun = time.perf_counter()
        await queue.feed(folder.settings.items)
        fed, memory = time.perf_counter() - begun, await queue.memory()
        command = [sys.executable, "-m", "rstar.bench.harvest_workers", str(out), url]
        command += ["--workers", str(asked.each), "--lease", str(asked.lease)]
        fleet = _Fleet([*command, "--nodes", str(asked.nodes)])
        try:
            for _ in range(asked.processes):
                await fleet.start()
            killed_at = await _kill_some(asked, fleet, queue)
            codes = await fleet.end()
        finally:
            await fleet.stop()
        seconds = time.perf_counter() - begun
        await parts.publish_staged(folder, queue)
        return {
            **_figures(asked, folder),
            "seconds": round(seconds, 1),
            "items_per_second": round(asked.problems / seconds, 1),
            "feed_seconds": round(fed, 2),
            "killed_processes": codes.count(-9),
            "killed_at_items": killed_at,
            "other_exit_codes": sorted(set(codes) - {0, -9}),
            "redis_bytes_fed": memory,
            "redis_bytes_per_item": round(memory / asked.problems, 1),
            "redis_bytes_done": await queue.memory(),
        }


async def _kill_some(asked: Simulation, fleet: _Fleet, queue: Queue) -> list[int]:
    """Kill processes when chosen numbers of items are done, until all are; those numbers."""
    rng = random.Random(asked.seed)  # noqa: S311 - no secret
    moments = sorted(rng.sample(range(1, asked.problems * 9 // 10), asked.kills))
    killed = []
    while (tally := await queue.tally()).done < asked.problems:
        while moments and tally.done >= moments[0]:
            moments.pop(0)
            killed.append(tally.done)
            await fleet.kill(rng)
        await asyncio.sleep(_LOOK_SECONDS)
    return killed


def _figures(asked: Simulation, folder: HarvestFolder) -> dict[str, Any]:
    summary = summarise(folder)
    times: Counter[int] = Counter()
    for path in parts.published(folder):
        times.update(one.item for one in parts.index(path)[0])
    return {
        "problems": asked.problems,
        "workers": asked.each * asked.processes,
        "processes": asked.processes,
        "done_once": sum(1 for item in range(asked.problems) if times[item] == 1),
        "done_twice": sum(1 for count in times.values() if count > 1),
        "failed": summary.failed,
        "nodes": summary.nodes,
        "parquet_bytes": summary.bytes,
        "parquet_bytes_per_node": round(summary.bytes / max(summary.nodes, 1), 1),
        "parts": summary.parts,
        "machine": machine.describe(),
    }


async def _until_up(queue: Queue) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                await queue.tally()
                return
            except QueueDown:
                await asyncio.sleep(0.05)
