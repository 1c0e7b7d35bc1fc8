"""`rstar bench engine`: how much of the engine's rate the search draws.

Problems are searched side by side with a real model; what is drawn is noted between search and
policy. Then the same engine draws the same candidates again, same prompts, seeds and limits, in a
batch that is always full and finds all prompts in its cache. Both are repeated in turns. The ratio
of the two rates is the search's efficiency.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rstar.bench import machine
from rstar.bench.machine import Processors
from rstar.bench.plain_batch import draw_all
from rstar.bench.recorder import Drawn, Span, mean_level, recording, spans, tokens_between
from rstar.bench.rig import Rig, running
from rstar.bench.solving import solve_all
from rstar.stack import ports
from rstar.stack.config import LOOPBACK

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
        rounds: how often the search and the batch take turns.
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
    rounds: int
    batch: int
    candidate_tokens: int
    search: dict[str, Any]


@dataclass(slots=True)
class _Half:
    """The counted seconds of the search, or of the plain batch.

    Attributes:
        windows: their beginnings and ends, in monotonic seconds.
        cores: that each process used, one entry a window.
        processors: what became of the machine's processors, one entry a window.
    """

    windows: list[tuple[float, float]] = field(default_factory=list)
    cores: list[dict[str, float]] = field(default_factory=list)
    processors: list[dict[str, float]] = field(default_factory=list)

    async def watch(self, rig: Rig, begin: float, seconds: float) -> None:
        """Count from a time to come on."""
        await asyncio.sleep(begin - time.monotonic())
        before, own, machine = rig.cpu_seconds(), time.process_time(), Processors.now()
        await asyncio.sleep(begin + seconds - time.monotonic())
        used = {name: spent - before.get(name, 0.0) for name, spent in rig.cpu_seconds().items()}
        used["bench"] = time.process_time() - own
        self.windows.append((begin, begin + seconds))
        self.cores.append({name: spent / seconds for name, spent in used.items()})
        self.processors.append(Processors.now().since(machine, sum(used.values())))


async def measure(plan: Plan) -> dict[str, Any]:
    """All figures; the keys at the top level are stable.

    One engine does both: first the searches, then the plain batch, and so on.
    """
    [port] = ports.free_ports(LOOPBACK, 1)
    search, batch, again = _Half(), _Half(), list[Drawn]()
    faults: list[str] = []
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
        for number in range(plan.rounds):
            had = len(recorder.drawn)
            faults += await _search(plan, number, rig, search)
            known = [one for one in recorder.drawn[had:] if one.tokens]
            if not known:
                raise RuntimeError(f"the searches drew nothing: {faults or 'none was in time'}")
            again += await _draw_again(plan, known, f"{LOOPBACK}:{port}", rig, batch)
            await recorder.settle()
    computed = spans([*recorder.drawn, *again], plan.batch)
    searched = _figures(search, computed) | {
        "mean_in_flight": _mean([mean_level(recorder.levels, *one) for one in search.windows]),
        "failed": len(faults),
        "faults": sorted(set(faults))[:5],
    }
    return _report(plan, searched, _figures(batch, computed))


async def _search(plan: Plan, number: int, rig: Rig, half: _Half) -> list[str]:
    """Search all problems side by side; why some failed."""
    whole = plan.warm_up + plan.seconds + _TAIL_SECONDS
    bodies = [
        {
            "problem": plan.questions[i % len(plan.questions)],
            "budget": {"rollouts": 10_000, "tokens": 1_000_000, "seconds": whole},
            "search": {"seed": 1000 * (number * plan.problems + i)} | plan.search,
        }
        for i in range(plan.problems)
    ]
    begin = time.monotonic() + plan.warm_up
    solving = asyncio.create_task(solve_all(rig.url, bodies, seconds=whole))
    await half.watch(rig, begin, plan.seconds)
    load = await solving
    first = min(one.seconds for one in load.outcomes)
    if first < plan.warm_up + plan.seconds:
        raise RuntimeError(f"a search ended after {first:.0f} s: {load.faults or 'exhausted'}")
    return load.faults


async def _draw_again(
    plan: Plan, known: Sequence[Drawn], target: str, rig: Rig, half: _Half
) -> list[Drawn]:
    """Keep the engine full with candidates that are known."""
    # In the order in which they ended, the short ones would come first.
    mixed = random.Random(0).sample(known, len(known))  # noqa: S311 - no secret
    # What the searches left behind is finished beside it, so the engine is never empty.
    width = plan.batch + plan.batch // 4
    begin = time.monotonic() + plan.warm_up
    drawing = asyncio.create_task(draw_all(target, mixed, width, plan.warm_up + plan.seconds))
    await half.watch(rig, begin, plan.seconds)
    return await drawing


def _figures(half: _Half, computed: Sequence[Span]) -> dict[str, Any]:
    """What the engine computed in the counted seconds of a half.

    `tokens` over `seconds` is the rate; `mean_computing` the candidates in the engine at once;
    `candidates` those that ended, of `tokens_a_candidate` tokens.
    """
    tokens = [tokens_between(computed, *window) for window in half.windows]
    seconds = sum(end - begin for begin, end in half.windows)
    busy = sum(
        one.share(*window) * (one.end - one.begin) for window in half.windows for one in computed
    )
    ended = [
        one.tokens for begin, end in half.windows for one in computed if begin <= one.end < end
    ]
    return {
        "tokens_per_second": round(sum(tokens) / seconds, 1),
        "tokens": round(sum(tokens)),
        "seconds": round(seconds, 1),
        "tokens_by_round": [round(one) for one in tokens],
        "mean_computing": round(busy / seconds, 1),
        "candidates": len(ended),
        "tokens_a_candidate": _mean(ended),
        "cores_used": _means(half.cores),
        "processors": _means(half.processors),
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(len(values), 1), 1)


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(sum(row[name] for row in rows) / len(rows), 3) for name in rows[0]}


def _report(plan: Plan, searched: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    rounds = zip(searched["tokens_by_round"], batch["tokens_by_round"], strict=True)
    return {
        "engine_utilization": round(searched["tokens"] / max(batch["tokens"], 1), 3),
        "utilization_by_round": [round(drawn / max(full, 1), 3) for drawn, full in rounds],
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
    rounds = ", ".join(map(str, figures["utilization_by_round"]))
    lines = [
        f"{figures['model']}, {figures['problems']} problems at once, {figures['machine']}",
        f"utilization  {figures['engine_utilization']:>8}, by round {rounds}",
    ]
    for name in ("search", "plain_batch"):
        half = figures[name]
        cores = ", ".join(f"{part} {used}" for part, used in half["cores_used"].items())
        shares = ", ".join(f"{part} {share:.0%}" for part, share in half["processors"].items())
        lines += [
            (
                f"{name:12} {half['tokens_per_second']:>8} tokens/s: {half['tokens']} in "
                f"{half['seconds']} s, {half['mean_computing']} candidates in the engine, "
                f"{half['tokens_a_candidate']} tokens each"
            ),
            f"             cores used by process: {cores}",
            f"             of all processor time: {shares}",
        ]
    in_flight = figures["search"]["mean_in_flight"]
    return "\n".join(
        [*lines, f"in flight by the search: {in_flight}", *figures["search"]["faults"]]
    )
