"""`rstar bench tracing`: what traces cost, in processor time of the search, the sandbox and Redis.

Stacks with scripted models stand side by side, one for each way to trace, and take turns at the
same problems: what else the machine does meets them alike, and processor time, unlike rates, hardly
feels it. A collector in this process takes the spans, and is not counted.
"""

import contextlib
import random
import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from rstar.bench import machine
from rstar.bench.rig import Rig, running
from rstar.bench.search import problem
from rstar.bench.solving import solve_all
from rstar.stack.config import LOOPBACK
from services.common import rpc
from services.common.settings import ServiceSettings

TRACED: Final = ("search", "sandbox")
_PARTS: Final = (*TRACED, "redis")
_WARM_UP_NODES: Final = 64
_SECONDS: Final = 60.0
_RESAMPLES: Final = 4000
_SHARE: Final = ServiceSettings.model_fields["trace_share"].default


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Counts the spans that it is sent, by service."""

    def __init__(self) -> None:
        self.spans = 0

    async def Export(  # noqa: N802 - the name in the contract
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take spans."""
        self.spans += sum(
            len(scope.spans) for group in request.resource_spans for scope in group.scope_spans
        )
        return trace_service_pb2.ExportTraceServiceResponse()


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    """A collector, and its endpoint."""
    collector = Collector()
    server = rpc.Server((), max_concurrent_rpcs=16)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
        collector, server.grpc
    )
    port = await server.start(LOOPBACK, 0)
    try:
        yield collector, f"http://{LOOPBACK}:{port}"
    finally:
        await server.stop(0)


@dataclass(frozen=True, slots=True)
class Turns:
    """How much is measured.

    Attributes:
        rounds: turns of each way.
        problems: at once.
        nodes: of a turn.
    """

    rounds: int = 8
    problems: int = 8
    nodes: int = 800


async def measure(turns: Turns) -> dict[str, Any]:
    """All figures; the keys at the top level are stable.

    `overhead` is the processor time of a node over that without traces, less 1: `p25`, `p50` and
    `p75` of single turns, `whole` of all turns together, `ci95` its interval by a bootstrap.
    """
    async with contextlib.AsyncExitStack() as open_:
        ways: dict[str, tuple[Rig, Collector | None]] = {
            "off": (await open_.enter_async_context(running()), None)
        }
        for name, share in (("default", _SHARE), ("all", 1.0)):
            collector, endpoint = await open_.enter_async_context(collecting())
            rig = await open_.enter_async_context(running(environment=_traced(endpoint, share)))
            ways[name] = rig, collector
        for rig, _ in ways.values():
            await _cost(rig, 1, _WARM_UP_NODES, 0)
        costs: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(turns.rounds):
            # Nobody always comes first.
            for name in list(ways)[number % 3 :] + list(ways)[: number % 3]:
                costs[name].append(
                    await _cost(ways[name][0], turns.problems, turns.nodes, number + 1)
                )
        spans = {name: collector.spans for name, (_, collector) in ways.items() if collector}
    return {
        "overhead": {name: _overhead(costs[name], costs["off"]) for name in spans},
        "cpu_ms_per_node": {name: _spread(found) for name, found in costs.items()},
        "share": {"default": _SHARE, "all": 1.0},
        "spans": spans,
        "rounds": turns.rounds,
        "machine": machine.describe(),
    }


def _traced(endpoint: str, share: float) -> dict[str, str]:
    settings = {"TRACE_ENDPOINT": endpoint, "TRACE_SHARE": share}
    return {
        f"RSTAR_{service}_{name}".upper(): str(value)
        for service in TRACED
        for name, value in settings.items()
    }


async def _cost(rig: Rig, problems: int, nodes: int, turn: int) -> float:
    """Milliseconds of processor time a node, of one turn. RuntimeError where a search fails."""
    bodies = [
        problem(1000 * turn + i, max(_WARM_UP_NODES, nodes // problems), "step", _SECONDS)
        for i in range(problems)
    ]
    before = rig.cpu_seconds()
    load = await solve_all(rig.url, bodies, seconds=_SECONDS)
    after = rig.cpu_seconds()
    if load.faults:
        raise RuntimeError(f"a search of the benchmark failed: {load.faults[0]}")
    return 1000 * sum(after[name] - before[name] for name in _PARTS) / load.nodes


def _overhead(costs: list[float], without: list[float]) -> dict[str, Any]:
    turns = list(zip(costs, without, strict=True))
    drawn = random.Random(0)  # noqa: S311 - no secret
    again = sorted(_whole(drawn.choices(turns, k=len(turns))) for _ in range(_RESAMPLES))
    low, high = again[_RESAMPLES // 40], again[-1 - _RESAMPLES // 40]
    return {
        **_spread([one / other - 1 for one, other in turns]),
        "whole": round(_whole(turns), 4),
        "ci95": [round(low, 4), round(high, 4)],
    }


def _whole(turns: Sequence[tuple[float, float]]) -> float:
    return sum(one for one, _ in turns) / sum(other for _, other in turns) - 1


def _spread(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"p25": round(low, 4), "p50": round(middle, 4), "p75": round(high, 4)}


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [f"{figures['rounds']} turns each, {figures['machine']}"]
    for name, cost in figures["cpu_ms_per_node"].items():
        line = f"{name:8} {cost['p50']:.2f} ms CPU a node ({cost['p25']:.2f} to {cost['p75']:.2f})"
        if name in figures["overhead"]:
            more = figures["overhead"][name]
            line += (
                f", in all {more['whole']:+.1%} (95 %: {more['ci95'][0]:+.1%} to "
                f"{more['ci95'][1]:+.1%}), by turns {more['p50']:+.1%} ({more['p25']:+.1%} to "
                f"{more['p75']:+.1%}), "
                f"share {figures['share'][name]:g}, {figures['spans'][name]} spans"
            )
        lines.append(line)
    return "\n".join(lines)
