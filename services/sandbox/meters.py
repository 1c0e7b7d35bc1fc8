"""The sandbox's metrics, `rstar_sandbox_<what>_<unit>`."""

from collections.abc import Iterator
from typing import Final, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class State(Protocol):
    """What is read when the metrics are."""

    @property
    def gauges(self) -> dict[str, float]:
        """Value by name without the prefix."""

    @property
    def counters(self) -> dict[str, float]:
        """Value by name without the prefix and `_total`."""

    @property
    def mode(self) -> str:
        """How steps are isolated and resumed."""


class Meters:
    """What came of each run."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._runs = Counter(
            "rstar_sandbox_runs_total",
            "Steps that were run, by status and interpreter.",
            ["status", "interpreter"],
            registry=registry,
        )
        self._by_end: dict[tuple[int, int], Counter] = {}
        self._replayed = Counter(
            "rstar_sandbox_replayed_steps_total",
            "Ancestors that were run again, since their state was not there.",
            registry=registry,
        )
        self._refused = Counter(
            "rstar_sandbox_refused_total", "Steps refused, the queue being full.", registry=registry
        )
        parts = {"queue": "waited for a worker", "fork": "was made a process", "run": "ran"}
        self._seconds = {
            part: Histogram(
                f"rstar_sandbox_{part}_seconds",
                f"How long a step {what}.",
                buckets=_SECONDS,
                registry=registry,
            )
            for part, what in parts.items()
        }

    def watch(self, state: State) -> None:
        """Read a state with the metrics from now on."""
        self._registry.register(_StateCollector(state))

    def count(self, response: pb.RunResponse) -> None:
        """Count a run."""
        self._ended(response.status, response.interpreter).inc()
        timings = response.timings
        self._replayed.inc(timings.replayed_steps)
        self._seconds["queue"].observe(timings.queued_ms / 1000)
        self._seconds["fork"].observe(timings.fork_ms / 1000)
        self._seconds["run"].observe(timings.run_ms / 1000)

    def _ended(self, status: pb.Status.ValueType, interpreter: pb.Interpreter.ValueType) -> Counter:
        """The counter of runs that ended so: to look it up takes longer than to count."""
        counter = self._by_end.get((status, interpreter))
        if counter is None:
            counter = self._by_end[status, interpreter] = self._runs.labels(
                pb.Status.Name(status).removeprefix("STATUS_").lower(),
                pb.Interpreter.Name(interpreter).removeprefix("INTERPRETER_").lower(),
            )
        return counter

    def count_refused(self) -> None:
        """Count a run that was refused."""
        self._refused.inc()


_HELP: Final = {
    "queue_steps": "Steps that wait for a worker.",
    "sessions": "Sessions that are open.",
    "snapshots": "Interpreter states that are kept.",
    "snapshots_bytes": "Memory that kept interpreter states are reckoned to hold.",
    "forks": "Processes that were made for steps.",
    "evictions": "Interpreter states given up for lack of room.",
    "moves": "Steps that turned out to need the full interpreter.",
    "zygote_restarts": "Zygotes that died and were replaced.",
    "up": "1 while every zygote is up.",
}


class _StateCollector(Collector):
    """Reads a state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """All of it, now."""
        mode = GaugeMetricFamily(
            "rstar_sandbox_mode_info", "1 for the mode in force.", labels=["mode"]
        )
        mode.add_metric([self._state.mode], 1)
        yield mode
        for name, value in self._state.gauges.items():
            yield GaugeMetricFamily(f"rstar_sandbox_{name}", _HELP[name], value=value)
        for name, value in self._state.counters.items():
            yield CounterMetricFamily(f"rstar_sandbox_{name}", _HELP[name], value=value)
