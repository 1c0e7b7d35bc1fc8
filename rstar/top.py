"""`rstar top`: services, versions, running searches and rates on a terminal."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rstar.client import Client, ClientError, Search
from rstar.show import printable

_TIMEOUT_SECONDS = 5.0
_MAX_SEARCHES = 20
_VERSIONS = "rstar_policy_model_info", "rstar_ppm_model_info"
# What is shown of each service as a rate, by its metric.
RATES = {
    "rstar_search_searches_ended_total": "searches/s",
    "rstar_search_nodes_total": "nodes/s",
    "rstar_search_policy_tokens_total": "tokens/s",
    "rstar_policy_tokens_total": "policy tokens/s",
    "rstar_ppm_batch_solutions_sum": "scores/s",
    "rstar_sandbox_runs_total": "steps/s",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What one address answered.

    Attributes:
        seconds: when, of a monotonic clock.
        totals: sums over all labels by metric.
        versions: of models, with their role.
        fault: why there is no answer; empty where there is one.
    """

    seconds: float
    totals: Mapping[str, float] = field(default_factory=dict)
    versions: tuple[str, ...] = ()
    fault: str = ""


def parse(text: str, seconds: float) -> Reading:
    """A reading of Prometheus' text format."""
    totals: dict[str, float] = {}
    versions = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
            if sample.name in _VERSIONS and sample.value:
                versions.append(f"{sample.labels['version']} ({sample.labels['role']})")
    return Reading(seconds, totals, tuple(sorted(versions)))


def rates(before: Reading | None, now: Reading) -> dict[str, float]:
    """Growth a second by what is shown; a counter that fell began again at zero."""
    if before is None or before.fault or now.fault or now.seconds <= before.seconds:
        return {}
    grown = {}
    for metric, shown in RATES.items():
        if metric in now.totals:
            then = before.totals.get(metric, 0.0)
            growth = now.totals[metric] - (then if now.totals[metric] >= then else 0.0)
            grown[shown] = growth / (now.seconds - before.seconds)
    return grown


def read(client: httpx.Client, url: str) -> Reading:
    """Ask one address for its metrics."""
    now = time.monotonic()
    try:
        reply = client.get(f"{url}/metrics")
        reply.raise_for_status()
        return parse(reply.text, now)
    except (httpx.HTTPError, ValueError) as error:
        return Reading(now, fault=str(error) or type(error).__name__)


def services(before: Mapping[str, Reading], now: Mapping[str, Reading]) -> Table:
    """A row for each address."""
    table = Table("service", "state", "versions", "rates", title="services", expand=True)
    for url, reading in now.items():
        state = Text(printable(reading.fault), "red") if reading.fault else Text("up", "green")
        shown = rates(before.get(url), reading)
        table.add_row(
            Text(url),
            state,
            Text("\n".join(map(printable, reading.versions))),
            Text(", ".join(f"{value:.1f} {name}" for name, value in shown.items())),
        )
    return table


def dependencies(ready: Mapping[str, Any]) -> Table:
    """A row for each of the search's dependencies, from the answer of /ready."""
    table = Table("dependency", "state", "circuits", expand=True)
    for name, one in ready.items():
        up = one["ready"]
        state = Text("ready", "green") if up else Text(printable(one["detail"]), "red")
        circuits = one.get("circuits", {})
        opened = [f"{address}: {how}" for address, how in circuits.items() if how != "closed"]
        table.add_row(Text(name), state, Text(", ".join(opened)))
    return table


def running(searches: list[Search], now: float) -> Table:
    """A row for each search; `now` in unix seconds."""
    columns = "search", "method", "age", "nodes", "tokens", "answer so far", "problem"
    table = Table(*columns, title=f"{len(searches)} searches running", expand=True)
    for one in searches:
        answer = "" if one.answer is None else f"{one.answer[:30]} ({one.confidence:.0%})"
        cells = (
            one.search_id,
            one.method,
            f"{max(0.0, now - one.created):.0f} s",
            f"{one.usage.nodes:,}",
            f"{one.usage.policy_tokens:,}",
            printable(answer),
            printable(one.problem.replace("\n", " "))[:60],
        )
        table.add_row(*map(Text, cells))
    return table


class View:
    """What is shown; keeps the readings before, for the rates."""

    def __init__(self, client: Client, http: httpx.Client, addresses: list[str]) -> None:
        """Args:
        client: of the search service.
        http: without credentials, for metrics.
        addresses: of metrics of the other services, `host:port` or URLs.
        """
        self._client = client
        self._http = http
        others = [one if "://" in one else f"http://{one}" for one in addresses]
        self._urls = [client.url, *(one.rstrip("/") for one in others)]
        self._before: dict[str, Reading] = {}

    def refresh(self) -> Group:
        """Ask everything once."""
        now = {url: read(self._http, url) for url in self._urls}
        shown = [services(self._before, now)]
        self._before = now
        faults = []
        try:
            shown.append(
                dependencies(self._http.get(f"{self._urls[0]}/ready").json()["dependencies"])
            )
            found = list(islice(self._client.searches("running"), _MAX_SEARCHES))
            shown.append(running(found, time.time()))
        except (ClientError, httpx.HTTPError, ValueError, KeyError) as error:
            faults.append(Text(printable(str(error) or type(error).__name__), "red"))
        return Group(*shown, *faults)


def watch(url: str, addresses: list[str], every: float, rounds: int) -> None:
    """Show a view that is read again every so many seconds, `rounds` times, without end for 0."""
    with Client(url) as client, httpx.Client(timeout=_TIMEOUT_SECONDS) as http:
        view = View(client, http, addresses)
        with Live(view.refresh(), console=Console(), auto_refresh=False) as live:
            done = 1
            while not rounds or done < rounds:
                time.sleep(every)
                live.update(view.refresh(), refresh=True)
                done += 1
