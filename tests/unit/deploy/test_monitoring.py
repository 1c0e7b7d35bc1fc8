"""Alert rules, dashboards, and what the chart makes of them."""

import importlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

from scripts.dashboards import DASHBOARDS, FOLDER
from services.common.inference.meters import ReloadMeters
from services.sandbox import meters
from tests.support.prometheus import promtool
from tests.unit.deploy.conftest import ROOT, Render, named, of_kind

ALERTS = FOLDER.parent / "alerts.yaml"
TESTS = Path(__file__).with_name("alerts.test.yaml")
OURS = re.compile(r"\brstar_(?:search|policy|ppm|sandbox)_\w+")
THEIRS = re.compile(r"\bvllm:\w+")


class Everything:
    """A sandbox that shows all that it may."""

    mode = "fork"

    @property
    def gauges(self) -> dict[str, float]:
        return dict.fromkeys(("queue_steps", "sessions", "snapshots", "snapshots_bytes", "up"), 0.0)

    @property
    def counters(self) -> dict[str, float]:
        return dict.fromkeys(("forks", "evictions", "moves", "zygote_restarts"), 0.0)


@pytest.fixture(scope="module")
def served() -> set[str]:
    """Names of all series that the services have."""
    for module in ("search.metrics", "policy.servicer", "ppm.servicer"):
        importlib.import_module(f"services.{module}")
    registry = CollectorRegistry()
    meters.Meters(registry).watch(Everything())
    for service in ("policy", "ppm"):
        ReloadMeters(service, registry)
    return {name for one in (REGISTRY, registry) for name in names(one)}


def names(registry: CollectorRegistry) -> Iterator[str]:
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    for family in registry.collect():
        yield from (family.name + ending for ending in endings.get(family.type, ("",)))


@pytest.fixture(scope="module")
def engine() -> set[str]:
    """Names of the engine's series, from the source of the vLLM that is installed."""
    package = importlib.util.find_spec("vllm")
    assert package is not None
    assert package.origin is not None
    source = Path(package.origin).parent / "v1" / "metrics" / "loggers.py"
    found = set(re.findall(r'"(vllm:\w+)"', source.read_text("utf-8")))
    return found | {f"{name}_total" for name in found}


def queries() -> Iterator[tuple[str, str]]:
    """Where it stands, and a query."""
    for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for file in FOLDER.glob("*.json"):
        for panel in json.loads(file.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"]


def test_rules_and_dashboards_name_what_there_is(served: set[str], engine: set[str]) -> None:
    for place, query in queries():
        found = {*OURS.findall(query), *THEIRS.findall(query)}
        assert found, place
        assert found <= served | engine, place


def test_dashboards_are_those_of_the_script() -> None:
    script = ROOT / "scripts" / "dashboards.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True, timeout=60)
    assert {file.stem for file in FOLDER.iterdir()} == set(DASHBOARDS)


def test_queries_are_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, (_, query) in enumerate(queries())
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}), "utf-8")
    promtool("check", "rules", str(file))


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    file = tmp_path / "test.yaml"
    text = TESTS.read_text("utf-8")
    file.write_text(text.replace("RULES", str(ALERTS)), "utf-8")
    promtool("test", "rules", str(file))
    fired = {
        check["alertname"]
        for test in yaml.safe_load(text)["tests"]
        for check in test["alert_rule_test"]
        if check["exp_alerts"]
    }
    assert fired == {name for name, _ in queries() if name.startswith("Rstar")}


def test_every_alert_is_explained_and_none_that_is_not() -> None:
    alerts = {name for name, _ in queries() if name.startswith("Rstar")}
    for page in ("operations", "telemetry"):
        text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
        assert set(re.findall(r"\bRstar[A-Z][A-Za-z]+", text)) == alerts, page


def test_every_metric_is_explained(served: set[str]) -> None:
    text = (ROOT / "docs" / "telemetry.md").read_text("utf-8")
    for name in {re.sub("_(bucket|sum|count)$", "", one) for one in served if OURS.match(one)}:
        service, _, what = name.removeprefix("rstar_").partition("_")
        assert f"`{what}`" in text, f"{service}: {what}"


def test_nothing_is_made_unless_asked_for(render: Render) -> None:
    objects = render()
    assert not of_kind(objects, "ServiceMonitor", "PrometheusRule")
    assert not [
        one for one in of_kind(objects, "ConfigMap") if "dashboard" in one["metadata"]["name"]
    ]


def test_monitors_find_services_and_ports_that_there_are(render: Render) -> None:
    objects = render(
        monitoring__enabled=True, monitoring__labels={"release": "p"}, ppm__enabled=True
    )
    services = of_kind(objects, "Service")
    monitored = set()
    for monitor in of_kind(objects, "ServiceMonitor"):
        assert monitor["metadata"]["labels"]["release"] == "p"
        wanted = monitor["spec"]["selector"]["matchLabels"]
        (endpoint,) = monitor["spec"]["endpoints"]
        found = [
            one
            for one in services
            if wanted.items() <= one["metadata"]["labels"].items()
            and endpoint["port"] in {port["name"] for port in one["spec"]["ports"]}
        ]
        (service,) = found
        monitored.add(service["metadata"]["name"])
    assert monitored == {"r-search", "r-sandbox", "r-policy-main", "r-ppm"}


def test_rules_and_dashboards_come_unchanged(render: Render) -> None:
    objects = render(monitoring__enabled=True)
    (rule,) = of_kind(objects, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text("utf-8"))
    for name in DASHBOARDS:
        config = named(objects, "ConfigMap", f"r-dashboard-{name}")
        assert config["data"] == {
            f"rstar-{name}.json": (FOLDER / f"{name}.json").read_text("utf-8")
        }
