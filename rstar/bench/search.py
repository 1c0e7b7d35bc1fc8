"""`rstar bench search`: what the search costs, with scripted models that take no time.

Real search process, Redis and sandbox; the policy and the PPM are scripted processes behind the
real contracts. Each problem grows a tree of trivial arithmetic, no two steps alike.
"""

import asyncio
import time
from typing import Any, Final, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from rstar.bench import machine
from rstar.bench.machine import Processors
from rstar.bench.redis_meter import RedisMeter
from rstar.bench.rig import Rig, running
from rstar.bench.solving import Load, solve_all

CANDIDATES: Final = 32
# The reference's published code on such a machine, in nodes a second: the range over its ways to
# run code, with no isolation and nothing kept.
REFERENCE: Final = {"1": [64, 79], "8": [414, 471], "32": [414, 471]}
_POLL_SECONDS: Final = 0.25
_WARM_UP_NODES: Final = 64
# Of the nodes and the time of a round: what is measured besides gets less of both.
_EXTRAS_SHARE: Final = 0.5
# One tree that grows takes as long as so many rounds.
_GROWTH_ROUNDS: Final = 3
_PHASES: Final = "rstar_search_trial_phase_seconds"

Expansion = Literal["step", "trajectory"]


def problem(number: int, nodes: int, expansion: Expansion, seconds: float) -> dict[str, Any]:
    """A request whose search ends when its tree has about `nodes` nodes."""
    return {
        "problem": f"Arithmetic, number {number}.",
        # A scripted step is one token.
        "budget": {"rollouts": 10_000, "tokens": nodes, "seconds": seconds},
        "search": {"candidates": CANDIDATES, "expansion": expansion, "seed": number * 1_000_003},
    }


class Meter:
    """Measures rounds of problems on one rig."""

    def __init__(self, rig: Rig, redis: RedisMeter, seconds: float) -> None:
        self._rig = rig
        self._redis = redis
        self._seconds = seconds

    async def level(self, problems: int, nodes: int, expansion: Expansion) -> dict[str, Any]:
        """One round: so many problems at once, about `nodes` nodes in all.

        Where the time goes, for each node: processor time by process, the benchmark's own as
        `bench`, and what trials wait for by phase, of which many go on at once. `processors` is
        what became of all of the machine's processor time meanwhile.
        """
        # Each tree has at least one whole expansion.
        each = max(2 * CANDIDATES, nodes // problems)
        bodies = [problem(i, each, expansion, self._seconds) for i in range(problems)]
        await self._redis.clear()
        waits, use = await self._waits(), await self._redis.use()
        cpu, before = self._cpu_seconds(), Processors.now()
        load = await solve_all(self._rig.url, bodies, seconds=self._seconds)
        after, ended = Processors.now(), self._cpu_seconds()
        used, waited = (await self._redis.use()).since(use), await self._waits()
        spent = {name: seconds - cpu.get(name, 0.0) for name, seconds in ended.items()}
        counted = max(load.nodes, 1)
        return {
            **_figures(load),
            "redis_round_trips_per_node": round(used.reads / counted, 3),
            "redis_commands_per_node": round(used.commands / counted, 3),
            "bytes_per_node": round(await self._redis.bytes(await self._redis.keys()) / counted),
            "cpu_ms_per_node": {
                name: round(1000 * seconds / counted, 2) for name, seconds in spent.items()
            },
            "processors": after.since(before, sum(spent.values())),
            "wait_ms_per_node": {
                phase: round(1000 * (seconds - waits.get(phase, 0.0)) / counted, 1)
                for phase, seconds in waited.items()
            },
            "search_mib": round(self._rig.memory_bytes("search") / 2**20),
        }

    async def growth(self, nodes: int, points: int = 5) -> list[dict[str, Any]]:
        """One tree that grows to `nodes` nodes: what a node costs in each part of its growth."""
        await self._redis.clear()
        seconds = _GROWTH_ROUNDS * self._seconds
        body = problem(0, nodes, "step", seconds)
        solving = asyncio.create_task(solve_all(self._rig.url, [body], seconds=seconds))
        seen = [await self._sample()]
        while not solving.done():
            await asyncio.wait([solving], timeout=_POLL_SECONDS)
            seen.append(await self._sample())
        load = await solving
        if load.faults:
            raise RuntimeError(f"the growing search failed: {load.faults[0]}")
        return _windows(seen, nodes, points)

    def _cpu_seconds(self) -> dict[str, float]:
        return self._rig.cpu_seconds() | {"bench": time.process_time()}

    async def _waits(self) -> dict[str, float]:
        """Seconds that trials have waited so far, by phase, as the search itself counts them."""
        async with httpx.AsyncClient(base_url=self._rig.url, trust_env=False) as client:
            text = (await client.get("/metrics")).raise_for_status().text
        return {
            sample.labels["phase"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"{_PHASES}_sum"
        }

    async def _sample(self) -> dict[str, float]:
        keys = await self._redis.keys()
        log = next((key for key in keys if key.endswith(":log")), None)
        state = log.removesuffix("log") + "state" if log else ""
        return {
            "at": time.perf_counter(),
            "nodes": await self._redis.nodes(state),
            # Of the log alone: leases and the like come and go.
            "bytes": await self._redis.bytes([log] if log else []),
            "reads": (await self._redis.use()).reads,
        }


# Reads of a sample itself: scan, length, memory, counters.
_OWN_READS: Final = 4


def _windows(seen: list[dict[str, float]], nodes: int, points: int) -> list[dict[str, Any]]:
    """Cost of a node between samples, in about `points` windows of equal growth."""
    windows = []
    last, samples = seen[0], 0
    for number, one in enumerate(seen[1:], start=1):
        samples += 1
        grown = one["nodes"] - last["nodes"]
        is_end = number == len(seen) - 1 and grown > 0
        if grown < nodes / points * 0.9 and not is_end:
            continue
        reads = one["reads"] - last["reads"] - samples * _OWN_READS
        windows.append(
            {
                "nodes": int(one["nodes"]),
                "nodes_per_second": round(grown / (one["at"] - last["at"]), 1),
                "redis_round_trips_per_node": round(reads / grown, 3),
                "bytes_per_node": round((one["bytes"] - last["bytes"]) / grown),
            }
        )
        last, samples = one, 0
    return windows


def _figures(load: Load) -> dict[str, Any]:
    return {
        "nodes": load.nodes,
        "nodes_per_second": round(load.nodes_per_second, 1),
        "seconds": round(load.seconds, 2),
        "request_seconds_p50": round(load.quantile(50), 2),
        "request_seconds_p99": round(load.quantile(99), 2),
        "answered": load.answered,
        "failed": len(load.faults),
        "faults": sorted(set(load.faults))[:5],
    }


async def measure(
    levels: list[int], nodes: int, growth: int, seconds: float, *, extras: bool
) -> dict[str, Any]:
    """All figures; the keys at the top level are stable.

    Args:
        levels: numbers of problems at once.
        nodes: of a round.
        growth: nodes of the tree that grows; 0 for none.
        seconds: budget of each search, and so of a round: what the trees have by then counts.
        extras: whether to measure trajectories, and the search without a sandbox, too.
    """
    report: dict[str, Any] = {}
    less = round(_EXTRAS_SHARE * nodes), _EXTRAS_SHARE * seconds
    async with running() as rig:
        report["levels"] = {"step": await _levels(rig, levels, nodes, seconds, "step")}
        if extras:
            report["levels"]["trajectory"] = await _levels(rig, levels, *less, "trajectory")
        if growth:
            meter = RedisMeter(rig.at.redis_url)
            report["growth"] = await Meter(rig, meter, seconds).growth(growth)
            await meter.close()
    if extras:
        async with running(sandbox="scripted") as rig:
            report["search_alone"] = await _levels(rig, levels, *less, "step")
    return _summary(report) | report


async def _levels(
    rig: Rig, levels: list[int], nodes: int, seconds: float, expansion: Expansion
) -> dict[str, Any]:
    redis = RedisMeter(rig.at.redis_url)
    meter = Meter(rig, redis, seconds)
    try:
        # The first search finds cold connections and modules that were never run.
        await meter.level(1, _WARM_UP_NODES, expansion)
        return {str(n): await meter.level(n, nodes, expansion) for n in levels}
    finally:
        await redis.close()


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    steps = report["levels"]["step"]
    counted = sum(one["nodes"] for one in steps.values()) or 1
    everything = [*report["levels"].values(), report.get("search_alone", {})]
    return {
        "nodes_per_second": {n: one["nodes_per_second"] for n, one in steps.items()},
        "redis_round_trips_per_node": round(
            sum(one["redis_round_trips_per_node"] * one["nodes"] for one in steps.values())
            / counted,
            3,
        ),
        "bytes_per_node": round(
            sum(one["bytes_per_node"] * one["nodes"] for one in steps.values()) / counted
        ),
        "failed": sum(one["failed"] for part in everything for one in part.values()),
        "reference_nodes_per_second": REFERENCE,
        "machine": machine.describe(),
    }


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [f"{figures['machine']}, {figures['failed']} failed", ""]
    parts = {f"{kind} expansion": part for kind, part in figures["levels"].items()}
    if "search_alone" in figures:
        parts["step expansion, scripted sandbox"] = figures["search_alone"]
    for title, part in parts.items():
        lines += [title, *_table(part), ""]
    for row in figures.get("growth", []):
        lines.append(
            f"at {row['nodes']:>6} nodes: {row['nodes_per_second']:>7} nodes/s, "
            f"{row['redis_round_trips_per_node']:>6} round trips and "
            f"{row['bytes_per_node']:>5} bytes a node"
        )
    spans = ", ".join(f"{n}: {low}-{high}" for n, (low, high) in REFERENCE.items())
    lines += ["", f"the reference's code, no isolation, nothing kept, nodes/s: {spans}"]
    return "\n".join(lines)


def _table(part: dict[str, Any]) -> list[str]:
    lines = ["problems  nodes/s  p50 s  p99 s  trips/node  bytes/node  CPU ms a node by process"]
    for number, row in part.items():
        cpu = ", ".join(f"{name} {spent}" for name, spent in row["cpu_ms_per_node"].items())
        lines.append(
            f"{number:>8} {row['nodes_per_second']:>8} {row['request_seconds_p50']:>6} "
            f"{row['request_seconds_p99']:>6} {row['redis_round_trips_per_node']:>11} "
            f"{row['bytes_per_node']:>11}  {cpu}"
        )
        waits = ", ".join(f"{name} {waited}" for name, waited in row["wait_ms_per_node"].items())
        lines.append(f"         trials wait, ms a node, many at once: {waits}")
        shares = ", ".join(f"{name} {share:.0%}" for name, share in row["processors"].items())
        lines.append(f"         of all processor time: {shares}")
        lines += [f"         {fault}" for fault in row["faults"]]
    return lines
