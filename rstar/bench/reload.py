"""A policy exchanged again and again under calls: what `rstar bench reload --calls` measures.

Who made a reply is told by its content: for every problem the greedy text and its log-probability
of a fresh engine of each version are known, and a reply must be that of the version on its label.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from rstar.bench import machine
from rstar.bench.exchange_costs import anonymous_mb, family, memory_figures, pause_figures
from rstar.bench.policy_process import PolicyProcess, Reply, policy_process
from rstar.bench.variant import publish_pair
from services.common.models.store import ModelStore

MODEL = "smollm2-135m"
TOKENS = 16
# float32 on a CPU rounds otherwise in other batches; the two versions differ by far more.
TOLERANCE = 0.02
PROBLEMS = tuple(
    f"A shelf holds {rows} rows of {rows + 2} cups. {rows - 1} cups break. How many are left?"
    for rows in range(4, 12)
)

Truth = dict[str, dict[str, Reply]]
"""What a fresh engine of each version replies to each problem."""


@dataclass
class Tally:
    """What came of the requests.

    Attributes:
        pinned_gone: pinned to a version that had just been exchanged, and told so.
        failures: what else went wrong.
        lies: replies that are not those of the version on their label.
        drift: largest distance of a log-probability from the fresh engine's.
        by_version: replies of each.
    """

    requests: int = 0
    pinned_gone: int = 0
    failures: list[str] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    drift: float = 0.0
    by_version: dict[str, int] = field(default_factory=dict)

    def judge(self, problem: str, reply: Reply, pinned: str, truth: Truth) -> None:
        """Count a reply."""
        self.by_version[reply.version] = self.by_version.get(reply.version, 0) + 1
        expected = truth[reply.version][problem]
        distance = abs(reply.logprob - expected.logprob)
        if reply.text != expected.text or distance > TOLERANCE:
            maker = [v for v, known in truth.items() if known[problem].text == reply.text]
            self.lies.append(f"labelled {reply.version}, text of {maker}, off by {distance:.4f}")
        elif pinned and reply.version != pinned:
            self.lies.append(f"pinned to {pinned}, labelled {reply.version}")
        else:
            self.drift = max(self.drift, distance)


async def learn(policy: PolicyProcess) -> dict[str, Reply]:
    """The reply to each problem."""
    replies = await asyncio.gather(*(policy.propose(problem, TOKENS) for problem in PROBLEMS))
    return dict(zip(PROBLEMS, replies, strict=True))


async def caller(number: int, policy: PolicyProcess, truth: Truth, tally: Tally) -> None:
    """Ask for ever; every fourth request is pinned to the version seen last."""
    seen, turn = "", number
    while True:
        problem = PROBLEMS[turn % len(PROBLEMS)]
        pinned = seen if turn % 4 == 0 else ""
        turn += 1
        try:
            reply = await policy.propose(problem, TOKENS, pinned)
        except grpc.aio.AioRpcError as error:
            if pinned and error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                tally.pinned_gone += 1
                seen = ""
            else:
                tally.failures.append(f"{error.code().name}: {error.details()}")
        else:
            seen = reply.version
            tally.judge(problem, reply, pinned, truth)
        tally.requests += 1


async def exchange(
    policy: PolicyProcess, versions: tuple[str, str], swaps: int, tally: Tally
) -> tuple[list[float], list[float], int]:
    """Exchange back and forth, with at least a reply to every caller between two exchanges.

    Returns:
        Pauses in ms, the processes' anonymous memory in MB after each, and interrupted candidates.
    """
    pauses, memory, interrupted = [], [], 0
    for number in range(swaps):
        since = tally.requests
        while tally.requests < since + len(PROBLEMS):  # noqa: ASYNC110 - counted by many
            await asyncio.sleep(0.02)
        loaded = await policy.load(versions[(number + 1) % 2])
        if loaded.how != "in_place":
            raise RuntimeError(f"exchanged by {loaded.how}, which is not what is measured")
        pauses.append(loaded.pause_seconds * 1000)
        interrupted += loaded.interrupted
        memory.append(anonymous_mb(family(policy.pid)))
    return pauses, memory, interrupted


async def measure(
    store: ModelStore, folder: Path, swaps: int, callers: int, wait: float | None = None
) -> dict[str, Any]:
    """All figures; the keys at the top level are stable.

    Args:
        store: that holds MODEL.
        folder: empty, for two versions and logs.
        swaps, callers: how many.
        wait: the service's `swap_seconds`; None for its default.
    """
    settings = {} if wait is None else {"swap_seconds": wait}
    source = store.open("policy", MODEL)
    pair = ModelStore(folder / "store")
    versions = publish_pair(pair, source, folder / "scratch")
    truth: Truth = {}
    for version in versions[::-1]:
        async with policy_process(pair.root, version, folder / f"state-{version}") as policy:
            truth[version] = await learn(policy)
    differ = sum(truth["first"][p].text != truth["second"][p].text for p in PROBLEMS)
    if differ < len(PROBLEMS):
        raise RuntimeError(f"the two versions differ in {differ} of {len(PROBLEMS)} replies only")
    tally = Tally()
    async with policy_process(pair.root, "first", folder / "state", **settings) as policy:
        began = time.monotonic()
        tasks = [
            asyncio.create_task(caller(number, policy, truth, tally)) for number in range(callers)
        ]
        try:
            pauses, memory, interrupted = await exchange(policy, versions, swaps, tally)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        seconds = time.monotonic() - began
        after = await learn(policy)
        served = versions[swaps % 2]
        stale = sum(abs(after[p].logprob - truth[served][p].logprob) > TOLERANCE for p in PROBLEMS)
    return {
        "swaps": len(pauses),
        "failed_requests": len(tally.failures),
        "mislabelled": len(tally.lies),
        "pause_ms": pause_figures(pauses),
        "stale_kv": stale,
        "requests": tally.requests,
        "replies": tally.by_version,
        "pinned_gone": tally.pinned_gone,
        "interrupted": interrupted,
        "logprob_drift": round(tally.drift, 5),
        "memory_mb": memory_figures(memory),
        "callers": callers,
        "seconds": round(seconds, 1),
        "faults": (tally.failures + tally.lies)[:5],
        "machine": machine.describe(),
    }


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    pause, memory = figures["pause_ms"], figures["memory_mb"]
    lines = {
        "exchanges under load": f"{figures['swaps']} in {figures['seconds']} s",
        "requests, failed": f"{figures['requests']}, {figures['failed_requests']}",
        "replies with a wrong label": figures["mislabelled"],
        "replies from old cache entries": figures["stale_kv"],
        "pause of new work, ms": f"p50 {pause['p50']}, p99 {pause['p99']}",
        "begun again after the wait": figures["interrupted"],
        "pinned to a version that went": figures["pinned_gone"],
        "largest drift of a log-probability": figures["logprob_drift"],
        "memory, MB": f"first {memory['first']}, last {memory['last']}, peak {memory['peak']}",
        "growth over the second half": f"{memory['growth_per_swap']} MB an exchange",
    }
    return "\n".join(f"{name:36} {value}" for name, value in lines.items())
