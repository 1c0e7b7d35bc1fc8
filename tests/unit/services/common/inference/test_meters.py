import socket
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest
from prometheus_client import CollectorRegistry, Gauge

from services.common import rpc
from services.common.inference.meters import ReloadMeters, exposed

# What Prometheus 2 asks for.
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def read(port: int, path: str = "/metrics") -> str:
    opener = build_opener(ProxyHandler({}))
    opener.addheaders = [("Accept", ACCEPT)]
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=20) as reply:
        text: str = reply.read().decode()
        return text


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_what_is_served_can_be_read_over_http_while_it_is() -> None:
    registry, port = CollectorRegistry(), free_port()
    meters = ReloadMeters("policy", registry)
    meters.serve("one", ["trial"])
    meters.serve("two", ["trial"])
    meters.failures.inc()
    Gauge("vllm:num_requests_waiting", "As the engine names it.", registry=registry).set(3)
    with exposed("127.0.0.1", port, lambda: True, registry):
        lines = read(port).splitlines()
    assert 'rstar_policy_model_info{role="main",version="two"} 1.0' in lines
    assert 'rstar_policy_model_info{role="beside",version="trial"} 1.0' in lines
    assert not any('version="one"' in line for line in lines)
    assert "rstar_policy_reload_failures_total 1.0" in lines
    assert "vllm:num_requests_waiting 3.0" in lines
    with exposed("127.0.0.1", port, lambda: True, registry):
        read(port)


def test_readiness_is_told_as_it_is() -> None:
    port, states = free_port(), [True, False]
    with exposed("127.0.0.1", port, lambda: states.pop(), CollectorRegistry()):
        with pytest.raises(HTTPError) as refused:
            read(port, "/ready")
        assert refused.value.code == 503
        assert read(port, "/ready") == "200 OK"


def test_a_taken_port_is_named() -> None:
    registry = CollectorRegistry()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(rpc.AddressInUse, match=f":{port}"),
            exposed("127.0.0.1", port, lambda: True, registry),
        ):
            pytest.fail("served")


def test_port_zero_serves_nothing() -> None:
    with exposed("127.0.0.1", 0, lambda: True, CollectorRegistry()):
        pass
