"""`rstar bench engine`: how much of the engine's rate the search draws.

Problems are searched side by side with a real model; what is drawn is noted between search and
policy. Then the same engine draws the same candidates again, same prompts, seeds and limits, in a
batch that is always full and finds all prompts in its cache. The ratio of the two rates is the
search's efficiency.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rstar.bench import machine
from rstar.bench.plain_batch import draw_all
from rstar.bench.recorder import Drawn, Recorder, mean_level, tokens_between
from rstar.bench.rig import Rig, running
from rstar.bench.solving import Load, solve_all
from rstar.stack import ports
from rstar.stack.config import LOOPBACK
from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc

_SERVICE: Final = policy_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name
_RPCS: Final = 10_000
# The searches go on for so long after the counted seconds.
_TAIL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        model: version in the model store.
        questions: problems, repeated as often as needed.
        problems: searches at once.
        warm_up: seconds that are not counted at first, of the search and of the batch.
        seconds: seconds that are counted, of each.
        batch: sequences that the engine computes at once.
        candidate_tokens: most new tokens of a candidate; few, so that what is in flight at the end
            is soon there and can be counted.
        search: options of the searches.
    """

    model: str
    questions: Sequence[str]
    problems: int
    warm_up: float
    seconds: float
    batch: int
    candidate_tokens: int
    search: dict[str, Any]


@contextlib.asynccontextmanager
async def recording(policy_port: int) -> AsyncIterator[tuple[Recorder, str]]:
    """A recorder before a policy that listens, or will, on a port; with its own target."""
    recorder = Recorder(f"{LOOPBACK}:{policy_port}")
    server = rpc.Server((_SERVICE,), max_concurrent_rpcs=_RPCS)
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(recorder, server.grpc)
    port = await server.start(LOOPBACK, 0)
    for name in ("", _SERVICE):
        await server.set_serving(True, name)
    try:
        yield recorder, f"{LOOPBACK}:{port}"
    finally:
        await server.stop(0)


async def measure(plan: Plan) -> dict[str, Any]:
    """All figures; the keys at the top level are stable.

    One engine does both: first for the searches, then for the plain batch.
    """
    [port] = ports.free_ports(LOOPBACK, 1)
    async with (
        recording(port) as (recorder, target),
        running(
            model=plan.model,
            batch=plan.batch,
            policy_port=port,
            policy_target=target,
            candidate_tokens=plan.candidate_tokens,
        ) as rig,
    ):
        load, begin, cores = await _search(plan, rig)
        known = [one for one in recorder.drawn if one.tokens]
        if not known:
            faults = load.faults or "no candidate was finished in time"
            raise RuntimeError(f"the searches drew nothing: {faults}")
        # In the order in which they ended, the short ones would come first.
        random.Random(0).shuffle(known)  # noqa: S311 - no secret
        width = plan.batch + plan.batch // 4
        # What the searches left behind is finished beside it, so the engine is never empty.
        batch_begin = time.monotonic() + plan.warm_up
        again = await draw_all(f"{LOOPBACK}:{port}", known, width, plan.warm_up + plan.seconds)
        await recorder.settle()
    first = min(one.seconds for one in load.outcomes)
    if first < plan.warm_up + plan.seconds:
        raise RuntimeError(f"a search ended after {first:.0f} s: {load.faults or 'exhausted'}")
    end = begin + plan.seconds
    searched = _rate(plan, recorder.drawn, begin) | {
        "mean_in_flight": round(mean_level(recorder.levels, begin, end), 1),
        "failed": len(load.faults),
        "faults": sorted(set(load.faults))[:5],
        "cores_used": cores,
    }
    batch = _rate(plan, [*recorder.drawn, *again], batch_begin)
    return _report(plan, searched, batch)


async def _search(plan: Plan, rig: Rig) -> tuple[Load, float, dict[str, float]]:
    """Search all problems side by side: what came of them, when counting began, cores used."""
    whole = plan.warm_up + plan.seconds + _TAIL_SECONDS
    bodies = [
        {
            "problem": plan.questions[i % len(plan.questions)],
            "budget": {"rollouts": 10_000, "tokens": 1_000_000, "seconds": whole},
            "search": {"seed": 1000 * i} | plan.search,
        }
        for i in range(plan.problems)
    ]
    begin = time.monotonic() + plan.warm_up
    solving = asyncio.create_task(solve_all(rig.url, bodies, seconds=whole))
    cores = await _cores_between(rig, begin, begin + plan.seconds)
    return await solving, begin, cores


def _rate(plan: Plan, drawn: Sequence[Drawn], begin: float) -> dict[str, Any]:
    """Tokens a second in the counted seconds, and of what they were."""
    tokens = tokens_between(drawn, plan.batch, begin, begin + plan.seconds)
    return {
        "tokens_per_second": round(tokens / plan.seconds, 1),
        "seconds": plan.seconds,
        "candidates": len(drawn),
        "tokens_a_candidate": round(_mean([one.tokens for one in drawn]), 1),
    }


async def _cores_between(rig: Rig, begin: float, end: float) -> dict[str, float]:
    """Cores that each part uses between two times to come."""
    await asyncio.sleep(begin - time.monotonic())
    before, own = rig.cpu_seconds(), time.process_time()
    await asyncio.sleep(end - time.monotonic())
    after = rig.cpu_seconds()
    cores = {
        name: round((after[name] - before.get(name, 0.0)) / (end - begin), 3) for name in after
    }
    return cores | {"recorder": round((time.process_time() - own) / (end - begin), 3)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


def _report(plan: Plan, searched: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    return {
        "engine_utilization": round(searched["tokens_per_second"] / batch["tokens_per_second"], 3),
        "problems": plan.problems,
        "model": plan.model,
        "options": plan.search,
        "batch": plan.batch,
        "search": searched,
        "plain_batch": batch,
        "failed": searched["failed"],
        "machine": machine.describe(),
    }


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    search, batch = figures["search"], figures["plain_batch"]
    cores = ", ".join(f"{name} {used}" for name, used in search["cores_used"].items())
    return "\n".join(
        [
            f"{figures['model']}, {figures['problems']} problems at once, {figures['machine']}",
            (
                f"search       {search['tokens_per_second']:>8} tokens/s, {search['seconds']} s, "
                f"{search['mean_in_flight']} candidates in flight, "
                f"{search['tokens_a_candidate']} tokens each"
            ),
            f"plain batch  {batch['tokens_per_second']:>8} tokens/s, {batch['seconds']} s",
            f"utilization  {figures['engine_utilization']:>8}",
            f"cores used by process: {cores}",
            *search["faults"],
        ]
    )
