"""`rstar bench sandbox`: what a step costs on this machine, and what else it could have cost.

What is compared is interleaved: each round runs every variant once, so that noise hits all alike.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer

from rstar.bench import machine
from rstar.bench.sandbox_cpu import cpu_ms_per_step
from rstar.sandbox_probe import Probe, Stream, memory_bytes, serving, step_request
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb

_TRIVIAL: Final = "y = 1"
# A word for a package is enough to be given the interpreter that has it.
_TRIVIAL_IN_FULL: Final = "y = 1  # sympy"
_CHEAP_PREFIX: Final = tuple(f"x{i} = {i}" for i in range(8))
# About 50 ms of sympy, which nothing has computed before.
_COSTLY_STEP: Final = """
import sympy
t = sympy.Symbol("t")
p = sympy.factor(sympy.expand((t**2 + 3*t + 1)**5 * (t - 5)**4 * (t**3 + t + 7)**3))
"""
_COSTLY_PREFIX: Final = (
    _COSTLY_STEP,
    *_CHEAP_PREFIX[1:],
)
_MIXED: Final = (
    "import numpy as np\na = np.arange(40_000.0)",
    "from fractions import Fraction\nl = [Fraction(i, 7) for i in range(2000)]",
    "import sympy\nx = sympy.Symbol('x')\ns = sympy.solve(x**3 - 2*x + 1, x)",
    "total = sum(i * i for i in range(1000))",
)
_SPIN: Final = "while True: pass"
_SPIN_MS: Final = 100
_SNAPSHOTS: Final = 100
_SESSION_ROOM: Final = 8
_FORKCOST_STEPS: Final = 300
_GONE_SECONDS: Final = 30.0
_CPU_STEPS: Final = 600


@dataclass
class Sample:
    """Repeated measurements of one thing, in milliseconds."""

    values: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """Their median."""
        return statistics.median(self.values)

    def describe(self) -> dict[str, Any]:
        """Median, quartiles and number."""
        # Of one value the quartiles are that value, which statistics.quantiles does not know.
        low, middle, high = statistics.quantiles(self.values * (2 if len(self.values) == 1 else 1))
        return {
            "p50": round(middle, 2),
            "quartiles": [round(low, 2), round(high, 2)],
            "n": len(self.values),
        }


Variants = dict[str, Callable[[], Awaitable[float]]]


async def interleaved(variants: Variants, rounds: int) -> dict[str, Sample]:
    """Each variant once a round; the first round is not counted."""
    samples = {name: Sample() for name in variants}
    for number in range(rounds + 1):
        for name, measure in variants.items():
            value = await measure()
            if number:
                samples[name].values.append(value)
    return samples


async def steps_per_second(probe: Probe, code: str, workers: int, seconds: float) -> float:
    """Steps a second with so many in progress, each in a session of its own, over one call."""
    sessions = [await probe.open() for _ in range(workers)]
    for session in sessions:
        await probe.run(session, code)
    done = 0
    started = time.perf_counter()

    async def call(stream: Stream, session: str) -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            response = await stream.run(step_request(session, code))
            if response.status != pb.STATUS_OK:
                raise RuntimeError(f"a step of the benchmark failed: {response.error}")
            done += 1

    async with probe.stream() as stream:
        await asyncio.gather(*(call(stream, session) for session in sessions))
        rate = done / (time.perf_counter() - started)
    for session in sessions:
        await probe.close(session)
    return rate


async def rates(probe: Probe, seconds: float) -> dict[str, dict[str, float]]:
    """Trivial steps a second by interpreter and by steps in progress."""
    return {
        kind: {str(n): round(await steps_per_second(probe, code, n, seconds), 1) for n in (1, 2)}
        for kind, code in (("light", _TRIVIAL), ("full", _TRIVIAL_IN_FULL))
    }


async def compare_prefixes(tree: Probe, replay: Probe, rounds: int) -> dict[str, Sample]:
    """A trivial step with nothing, a cheap prefix and a costly one before it, in every way."""
    session, other = await tree.open(), await replay.open()
    samples = await interleaved(
        {
            "tree, prefix 0": lambda: tree.milliseconds(session, _TRIVIAL),
            "tree, prefix 0, full interpreter": lambda: tree.milliseconds(
                session, _TRIVIAL_IN_FULL
            ),
            "tree, costly prefix of 8": lambda: tree.milliseconds(
                session, _TRIVIAL, _COSTLY_PREFIX
            ),
            "replay, prefix 0": lambda: replay.milliseconds(other, _TRIVIAL),
            "replay, costly prefix of 8": lambda: replay.milliseconds(
                other, _TRIVIAL, _COSTLY_PREFIX
            ),
            "tree, cheap prefix of 8": lambda: tree.milliseconds(session, _TRIVIAL, _CHEAP_PREFIX),
            "in-process exec, cheap prefix of 8": lambda: in_process(_CHEAP_PREFIX),
            "in-process exec, costly prefix of 8": lambda: in_process(_COSTLY_PREFIX),
        },
        rounds,
    )
    samples |= await interleaved({"python -c, costly prefix of 8": fresh_python}, rounds // 10)
    await tree.close(session)
    await replay.close(other)
    return samples


async def in_process(prefix: tuple[str, ...]) -> float:
    """Milliseconds to run a prefix and a step by exec here: no isolation, no state kept."""
    import sympy
    from sympy.core.cache import clear_cache

    # A worker meets each program once; what an earlier round has cached is not its own.
    clear_cache()
    started = time.perf_counter()
    exec("\n".join((*prefix, _TRIVIAL)), {"sympy": sympy})  # noqa: S102 - the constants above
    return (time.perf_counter() - started) * 1000


async def fresh_python() -> float:
    """Milliseconds to run the costly prefix and a step in a new interpreter."""
    program = "\n".join((*_COSTLY_PREFIX, _TRIVIAL))
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await process.wait()
    return (time.perf_counter() - started) * 1000


async def snapshots(probe: Probe) -> tuple[float, float]:
    """Memory of a snapshot of a mixed workload, in MB, and the seconds that 100 take to be gone."""
    before = set(probe.processes())
    alone = memory_bytes(sorted(before))
    session = await probe.open()
    for number in range(_SNAPSHOTS):
        depth = number % len(_MIXED)
        await probe.run(session, _MIXED[depth], _MIXED[:depth])
    made = set(probe.processes()) - before
    megabytes = (memory_bytes(sorted(before | made)) - alone) / len(made) / 1e6
    started = time.perf_counter()
    await probe.close(session)
    while set(probe.processes()) & made:
        if time.perf_counter() - started > _GONE_SECONDS:
            raise RuntimeError("snapshots are left after their session was closed")
        await asyncio.sleep(0.002)
    return megabytes, time.perf_counter() - started


async def overshoot(probe: Probe, rounds: int) -> Sample:
    """By how much a step outlives its deadline, in milliseconds."""
    session = await probe.open()
    sample = Sample()
    for _ in range(rounds):
        response = await probe.run(session, _SPIN, wall_ms=_SPIN_MS)
        if response.status != pb.STATUS_TIMEOUT:
            raise RuntimeError("an endless step ended by itself")
        sample.values.append(response.timings.run_ms - _SPIN_MS)
    await probe.close(session)
    return sample


def isolation_cost() -> dict[str, float]:
    """What isolation adds to a bare fork, measured by the sandbox's own tool."""
    command = [sys.executable, "-m", "services.sandbox.forkcost", str(_FORKCOST_STEPS)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    result: dict[str, float] = json.loads(printed)
    return result


async def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """All figures; the keys at the top level are stable."""
    room = _SNAPSHOTS + _SESSION_ROOM
    async with serving("auto", room) as tree, serving("fork-replay", room) as replay:
        mode = await tree.mode()
        await replay.mode()
        by_kind = await rates(tree, seconds)
        spent = {
            kind: await cpu_ms_per_step(tree, code, _CPU_STEPS, 2)
            for kind, code in (("light", _TRIVIAL), ("full", _TRIVIAL_IN_FULL))
        }
        samples = await compare_prefixes(tree, replay, rounds)
        megabytes, teardown = await snapshots(tree)
        late = await overshoot(tree, max(2, rounds // 4))
    cost = isolation_cost()
    deep = samples["tree, costly prefix of 8"].p50
    # Of the same interpreter, so that only the depth differs.
    flat = samples["tree, prefix 0, full interpreter"].p50
    return {
        "mode": mode,
        # A trivial step as it is served, and in the interpreter that a prefix of sympy needs.
        "steps_per_second": by_kind["light"],
        "steps_per_second_full": by_kind["full"],
        "cpu_ms_per_step": spent["light"][0],
        "cpu_ms_per_step_full": spent["full"][0],
        # Of the machine, while that was measured.
        "processors": spent["light"][1],
        "processors_full": spent["full"][1],
        "prefix8_ms_p50": round(deep, 2),
        "prefix8_over_prefix0": round(deep / flat, 3),
        "replay8_over_tree8": round(samples["replay, costly prefix of 8"].p50 / deep, 2),
        "isolation_overhead": round(cost["overhead"], 3),
        "snapshot_mb": round(megabytes, 2),
        "deadline_overshoot_ms_p50": round(late.p50, 2),
        "teardown_100_s": round(teardown, 3),
        "milliseconds": {name: sample.describe() for name, sample in samples.items()},
        "fork_ms_p50": {name: round(cost[f"{name}_ms"], 2) for name in ("bare", "confined")},
        "machine": machine.describe(),
    }


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    names = {
        "steps a second, 1 and 2 at once": figures["steps_per_second"].values(),
        "  the same, in the full interpreter": figures["steps_per_second_full"].values(),
        "processor time a step, ms": [figures["cpu_ms_per_step"]["all"]],
        "  in the full interpreter": [figures["cpu_ms_per_step_full"]["all"]],
        "  of all processor time": [f"{k} {v:.0%}" for k, v in figures["processors"].items()],
        "step behind a costly prefix of 8, ms": [figures["prefix8_ms_p50"]],
        "  over a step behind none": [figures["prefix8_over_prefix0"]],
        "  replay over fork tree": [figures["replay8_over_tree8"]],
        "isolation over a bare fork": [figures["isolation_overhead"]],
        "memory of a snapshot, MB": [figures["snapshot_mb"]],
        "overshoot of a deadline, ms": [figures["deadline_overshoot_ms_p50"]],
        "100 snapshots gone, s": [figures["teardown_100_s"]],
    }
    lines = [f"mode {figures['mode']}, {figures['machine']}"]
    lines += [f"{name:40} {', '.join(map(str, values))}" for name, values in names.items()]
    lines += ["", "a step, in milliseconds: median (quartiles)"]
    for name, row in figures["milliseconds"].items():
        lines.append(f"{name:40} {row['p50']:>9} ({row['quartiles'][0]} to {row['quartiles'][1]})")
    return "\n".join(lines)


def sandbox(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    rounds: Annotated[int, typer.Option(min=10, help="Rounds of each comparison.")] = 60,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds of each rate.")] = 5.0,
) -> None:
    """Measure the sandbox: steps a second, cost of depth and of isolation, memory, teardown."""
    figures = asyncio.run(measure(rounds, seconds))
    print(json.dumps(figures, indent=2) if as_json else render(figures))
