"""What components are scaled by."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from services.sandbox.meters import Meters
from services.search import metrics
from tests.unit.deploy.conftest import ROOT, Object, Render, named, of_kind
from tests.unit.deploy.test_chart import SCALED

ADAPTER = ROOT / "deploy" / "kubernetes" / "prometheus-adapter.yaml"
CUSTOM = ("custom.metrics.k8s.io/v1beta1",)


def hpa_metrics(objects: list[Object]) -> dict[str, Object]:
    return {
        one["metadata"]["name"]: one["spec"]["metrics"][0]
        for one in of_kind(objects, "HorizontalPodAutoscaler")
    }


def served_names() -> Iterator[str]:
    """Names of series that the services have; vLLM's own are those of its documentation."""
    registry = CollectorRegistry()
    Meters(registry)
    yield from re.findall(r"^# TYPE (\S+)", generate_latest(registry).decode(), re.MULTILINE)
    yield metrics.RUNNING._name
    yield "vllm:num_requests_waiting"


@pytest.mark.parametrize("metrics_", ["auto", "custom"])
def test_each_component_is_scaled_by_its_own_signal(render: Render, metrics_: str) -> None:
    apis = CUSTOM if metrics_ == "auto" else ()
    found = hpa_metrics(render(apis=apis, autoscaling__metrics=metrics_, **SCALED))
    signals = {name: one["pods"]["metric"]["name"] for name, one in found.items()}
    assert signals == {
        "r-search": "rstar_search_searches_running",
        "r-sandbox": "rstar_sandbox_queue_seconds_p90",
        "r-policy-main": "vllm_num_requests_waiting",
        "r-ppm": "vllm_num_requests_waiting",
    }
    assert found["r-sandbox"]["pods"]["target"]["averageValue"] == "50m"


def test_the_adapter_makes_every_metric_that_is_asked_for(render: Render) -> None:
    found = hpa_metrics(render(autoscaling__metrics="custom", **SCALED))
    rules = yaml.safe_load(ADAPTER.read_text("utf-8"))["rules"]["custom"]
    assert {rule["name"]["as"] for rule in rules} == {
        one["pods"]["metric"]["name"] for one in found.values()
    }
    names = set(served_names())
    for rule in rules:
        series = re.match(r"[a-z_:]+", rule["seriesQuery"])
        assert series is not None
        assert series[0].removesuffix("_bucket") in names


def test_without_custom_metrics_what_runs_on_cpus_is_scaled_by_them(render: Render) -> None:
    pools = {"main": {"gpus": 1, "replicas": 3}, "small": {}}
    objects = render(policy__pools=pools, **SCALED)
    found = hpa_metrics(objects)
    assert set(found) == {"r-search", "r-sandbox", "r-policy-small", "r-ppm"}
    assert {one["resource"]["name"] for one in found.values()} == {"cpu"}
    assert named(objects, "Deployment", "r-policy-main")["spec"]["replicas"] == 3
    # A number here would be taken for the scaler's at each upgrade.
    assert "replicas" not in named(objects, "Deployment", "r-policy-small")["spec"]


def test_keda_asks_prometheus_for_series_that_exist(render: Render) -> None:
    pools = {"main": {"gpus": 1}, "main-x": {}}
    objects = render(autoscaling__by="keda", policy__pools=pools, **SCALED)
    assert not of_kind(objects, "HorizontalPodAutoscaler")
    names = set(served_names())
    scaled = of_kind(objects, "ScaledObject")
    assert len(scaled) == 5
    for one in scaled:
        target = named(objects, "Deployment", one["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"]
        (trigger,) = one["spec"]["triggers"]
        # KEDA refuses a fallback for what is no average.
        assert ("fallback" in one["spec"]) is (trigger["metricType"] == "AverageValue")
        query = trigger["metadata"]["query"]
        series = re.search(r"([a-z_:]+)\{", query)
        assert series is not None
        assert series[1].removesuffix("_bucket") in names
        pattern = re.search(r'pod=~"([^"]+)"', query)
        assert pattern is not None
        pod = re.compile(pattern[1])
        assert pod.fullmatch(f"{target['metadata']['name']}-5d89b7c6f4-x2x9z")
        others = {"r-policy-main", "r-policy-main-x"} - {target["metadata"]["name"]}
        assert not any(pod.fullmatch(f"{name}-5d89b7c6f4-x2x9z") for name in others)


def test_examples_say_how_they_scale(render: Render) -> None:
    example = Path(ROOT / "deploy" / "helm" / "values-gpu-cluster.yaml")
    assert hpa_metrics(render(example, apis=CUSTOM))
