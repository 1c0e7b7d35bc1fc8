import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.policy.settings import PolicySettings
from services.ppm.settings import PpmSettings
from services.sandbox.settings import SandboxSettings
from services.search.settings import SearchSettings
from tests.unit.deploy.conftest import (
    CHART,
    EXAMPLES,
    ROOT,
    VERSIONS,
    Refused,
    Render,
    named,
    of_kind,
    pods,
)

SETTINGS = {
    "SEARCH": SearchSettings,
    "SANDBOX": SandboxSettings,
    "POLICY": PolicySettings,
    "PPM": PpmSettings,
}
SCALED: dict[str, object] = {
    "search__autoscaling__enabled": True,
    "sandbox__autoscaling__enabled": True,
    "policy__default__autoscaling__enabled": True,
    "ppm__autoscaling__enabled": True,
}
TRAINED: dict[str, object] = {
    "trainer__harvest__runs": {
        "r2": {"problems": "/data/p.jsonl", "arguments": ["--round", "2"]},
        "r3": {"problems": "owner/name", "by": "keda", "workers": 9},
    },
    "trainer__training__runs": {
        "policy": {"nodes": 2, "gpus": 8, "config": {"sharding": "fsdp"}},
        "ppm": {"kind": "ppm", "by": "kubeflow"},
    },
    "trainer__evolution": {"enabled": True, "config": {"rounds": 4}, "schedule": "0 3 * * 6"},
}
OPTIONS: list[dict[str, object]] = [
    {},
    {"ppm__enabled": False, "networkPolicy__enabled": False},
    {"tls__enabled": True, "tls__existingSecret": "mine"},
    {"redis__enabled": False, "redis__external__url": "redis://elsewhere:6379/0"},
    {"models__url": "s3://bucket/store", "models__credentialsSecret": "keys"},
    {"policy__pools": {"main": {"gpus": 2}, "small": {"model": "tiny"}}, "policyPool": "small"},
    SCALED,
    {**SCALED, "autoscaling__by": "keda"},
    TRAINED,
    {**TRAINED, "tls__enabled": True, "tls__existingSecret": "mine"},
    {"gateway__enabled": True, "gateway__parentRefs": [{"name": "public"}]},
    {"sandbox__runtimeClassName": "gvisor", "sandbox__require": "any"},
    {"tracing__endpoint": "http://collector:4317"},
    {"auth__mode": "off"},
]


def services(objects: list[dict[str, object]]) -> list[tuple[str, dict[str, object]]]:
    """The pods of the four services."""
    kinds = [(name, template) for name, template in pods(of_kind(objects, "Deployment"))]
    assert len(kinds) >= 3
    return kinds


def variables(template: dict[str, object]) -> dict[str, str]:
    (container,) = template["spec"]["containers"]  # type: ignore[index]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def test_helm_finds_nothing_to_complain_of(helm: Path) -> None:
    for values in (None, *EXAMPLES):
        command = [str(helm), "lint", "--strict", "--quiet", str(CHART)]
        command += ["--values", str(values)] if values else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_renders_on_every_version(
    render: Render, example: Path, version: str
) -> None:
    assert len(pods(render(example, version=version))) >= 4


@pytest.mark.parametrize("options", OPTIONS, ids=lambda one: " ".join(one) or "defaults")
def test_every_pod_is_as_restricted_as_can_be(render: Render, options: dict[str, object]) -> None:
    for name, template in pods(render(**options)):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume], name
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"], name
            assert container["resources"]["limits"]["memory"], name


@pytest.mark.parametrize("options", OPTIONS, ids=lambda one: " ".join(one) or "defaults")
def test_every_service_would_start_with_the_settings_of_the_chart(
    render: Render, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for _, template in services(render(**options)):
        (container,) = template["spec"]["containers"]
        prefix = f"RSTAR_{container['name'].upper()}_"
        kind = SETTINGS[container["name"].upper()]
        with monkeypatch.context() as environment:
            for variable, value in variables(template).items():
                if variable.startswith(prefix):
                    field = variable.removeprefix(prefix).lower()
                    assert field in kind.model_fields, variable
                    is_url = field == "redis_url"
                    # What stands in a secret is long enough.
                    secret = "redis://:pw@redis:6379/0" if is_url else "0123456789abcdef" * 3
                    environment.setenv(variable, value or secret)
                else:
                    assert variable in ("HOME", "RSTAR_HOME"), variable
            settings = kind()
        seen.add(container["name"])
        assert settings.host == "0.0.0.0"  # noqa: S104 - in a pod
        if isinstance(settings, SearchSettings):
            assert (settings.auth == "keys") is (options.get("auth__mode") != "off")
            assert bool(settings.read_admin_key()) is (settings.auth == "keys")
    assert {"search", "sandbox", "policy"} <= seen


def test_ports_of_the_chart_are_the_services_defaults(render: Render) -> None:
    objects = render()
    for service, settings in SETTINGS.items():
        name = {"POLICY": "policy-main"}.get(service, service.lower())
        deployment = named(objects, "Deployment", f"r-{name}")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        main = "http" if service == "SEARCH" else "grpc"
        assert ports[main] == settings.model_fields["port"].default
    assert SearchSettings.model_fields["grpc_port"].default == 50050


@pytest.mark.parametrize("options", OPTIONS, ids=lambda one: " ".join(one) or "defaults")
def test_services_budgets_and_targets_find_their_pods(
    render: Render, options: dict[str, object]
) -> None:
    objects = render(**options)
    labels = [template["metadata"]["labels"] for _, template in pods(objects)]
    for one in of_kind(objects, "Service", "PodDisruptionBudget"):
        selector = one["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        fitting = [found for found in labels if selector.items() <= found.items()]
        assert len(fitting) == 1, one["metadata"]["name"]
    services = {one["metadata"]["name"] for one in of_kind(objects, "Service")}
    search = variables(named(objects, "Deployment", "r-search")["spec"]["template"])
    for variable, value in search.items():
        if variable.endswith("_TARGET") and value:
            host = re.fullmatch(r"dns:///([\w-]+):\d+", value)
            assert host is not None
            assert host[1] in services


def test_probes_speak_grpc_where_kubernetes_does(render: Render) -> None:
    def probe(version: str) -> dict[str, object]:
        sandbox = named(render(version=version), "Deployment", "r-sandbox")
        (container,) = sandbox["spec"]["template"]["spec"]["containers"]
        return container["readinessProbe"]

    assert "grpc" in probe("1.28.0")
    assert "tcpSocket" in probe("1.20.15")


def test_a_model_that_loads_is_not_ready_under_mtls_either(render: Render) -> None:
    objects = render(tls__enabled=True, tls__existingSecret="mine")
    for name in ("r-policy-main", "r-ppm"):
        (container,) = named(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        for kind in ("startupProbe", "readinessProbe"):
            assert container[kind]["httpGet"] == {"path": "/ready", "port": "metrics"}
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        variables = {one["name"]: one.get("value") for one in container["env"]}
        assert str(ports["metrics"]) in [v for k, v in variables.items() if "METRICS_PORT" in k]


def test_old_clusters_get_the_apis_that_they_have(render: Render) -> None:
    one_node = {**TRAINED, "trainer__training__runs": {}}
    old = render(version="1.20.15", **SCALED, **one_node)
    new = render(version="1.37.0", **SCALED, **one_node)
    for objects, budget, scaler, cron in (
        (old, "policy/v1beta1", "autoscaling/v2beta2", "batch/v1beta1"),
        (new, "policy/v1", "autoscaling/v2", "batch/v1"),
    ):
        assert {o["apiVersion"] for o in of_kind(objects, "PodDisruptionBudget")} == {budget}
        assert {o["apiVersion"] for o in of_kind(objects, "HorizontalPodAutoscaler")} == {scaler}
        assert {o["apiVersion"] for o in of_kind(objects, "CronJob")} == {cron}
        # What a failed pod means can be said from 1.26 on.
        jobs = of_kind(objects, "Job")
        assert {"podFailurePolicy" in o["spec"] for o in jobs} == {objects is new}
    with pytest.raises(Refused, match="indexed Jobs"):
        render(version="1.20.15", **TRAINED)


def test_a_pod_is_killed_only_after_its_service_has_drained(render: Render) -> None:
    for name, template in services(render()):
        variable = next(v for k, v in variables(template).items() if k.endswith("_DRAIN_SECONDS"))
        assert template["spec"]["terminationGracePeriodSeconds"] > float(variable), name


def test_the_sandbox_may_call_nobody(render: Render) -> None:
    objects = render()
    sandbox = named(objects, "NetworkPolicy", "r-sandbox")["spec"]
    assert sandbox["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in sandbox
    called, metrics = sandbox["ingress"]
    assert metrics["ports"] == [{"port": 9090}]
    (peer,) = called["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "search"
    deny = named(objects, "NetworkPolicy", "r-default-deny")["spec"]
    assert "ingress" not in deny
    assert "egress" not in deny


def test_a_gpu_pool_asks_for_its_gpus_and_takes_the_gpu_image(render: Render) -> None:
    objects = render(policy__pools={"main": {}, "big": {"gpus": 4}})
    (big,) = named(objects, "Deployment", "r-policy-big")["spec"]["template"]["spec"]["containers"]
    (small,) = named(objects, "Deployment", "r-policy-main")["spec"]["template"]["spec"][
        "containers"
    ]
    assert big["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert big["image"].endswith("-gpu")
    assert small["image"].endswith("-cpu")
    assert {"name": "RSTAR_POLICY_TENSOR_PARALLEL", "value": "4"} in big["env"]
    assert "nvidia.com/gpu" not in small["resources"]["limits"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"sandbox__require": "some"}, "'any', 'full'"),
        ({"search__settings": {"max_serches": 3}}, "max_serches"),
        ({"policy__pools": {"main": {"settings": {"gpu_memroy": 0.5}}}}, "gpu_memroy"),
        ({"serach": {}}, "additional properties 'serach' not allowed"),
        ({"search__replicas": "many"}, "/search/replicas"),
        ({"policyPool": "none"}, 'policyPool: "none" is not one of policy.pools'),
        ({"policy__pools": {"UPPER": {}}}, "UPPER"),
        ({"autoscaling__by": "magic"}, "'hpa', 'keda'"),
        ({"trainer__harvest__runs": {"r2": {}}}, "trainer.harvest.runs.r2.problems"),
        ({"trainer__training__runs": {"a": {"kind": "orm"}}}, "'policy', 'ppm'"),
        ({"trainer__evolution__enabled": True}, "trainer.evolution.config"),
        (
            {
                "redis__enabled": False,
                "redis__external__url": "redis://r",
                "trainer__harvest__runs": {"r": {"problems": "a/b", "by": "keda"}},
            },
            "redis.external.keda.address",
        ),
        ({"redis__enabled": False}, "give `url` or `existingSecret`"),
        ({"tls__enabled": True}, "give `existingSecret` or enable `certManager`"),
        ({"tracing__share": 2}, "/tracing/share"),
    ],
)
def test_wrong_values_are_refused_by_name(
    render: Render, values: dict[str, object], complaint: str
) -> None:
    with pytest.raises(Refused, match=re.escape(complaint)):
        render(**values)


def test_schema_and_table_are_those_of_the_values() -> None:
    script = ROOT / "scripts" / "chart_values.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_routes_lead_to_ports_that_the_search_has(render: Render) -> None:
    gateway = {"gateway__enabled": True, "gateway__parentRefs": [{"name": "public"}]}
    objects = render(**gateway, gateway__grpcHostnames=["grpc.example.com"])
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "Service")}  # type: ignore[index]
    for kind, port in (("HTTPRoute", "http"), ("GRPCRoute", "grpc")):
        (route,) = of_kind(objects, kind)
        (backend,) = route["spec"]["rules"][0]["backendRefs"]  # type: ignore[index]
        found = {one["name"]: one["port"] for one in services[backend["name"]]["ports"]}
        assert found[port] == backend["port"]
    assert not of_kind(render(**gateway), "GRPCRoute")
