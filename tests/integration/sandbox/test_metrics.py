"""What the service tells about itself: metrics, health, mode."""

import asyncio
import os
import re
import signal
import urllib.request

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from tests.integration.sandbox.test_service import zygotes
from tests.support.sandbox_server import CALL_SECONDS, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def scrape(server) -> dict[str, float]:
    url = re.search(r"url=(\S+)", server.said)[1]
    page = await asyncio.to_thread(urllib.request.urlopen, url, timeout=CALL_SECONDS)
    text = page.read().decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines if name.startswith("rstar_sandbox")}


async def test_metrics_and_health_say_what_happens():
    async with (
        serving(metrics_port=0, max_snapshots=2, drain_seconds=1) as server,
        server.session() as session,
    ):
        mode = (await server.stub.Info(pb.InfoRequest(), timeout=CALL_SECONDS)).mode
        for number in range(4):
            await session.run("x = 1", node=f"c{number}")
        await session.run("1 / 0", ["y = 1"])
        await session.run("while True: pass", wall_ms=50, node="spin")
        await session.run("__import__('sym' + 'py') and 1", node="moved")
        found = await scrape(server)
        assert found[f'rstar_sandbox_mode_info{{mode="{mode}"}}'] == 1
        assert found['rstar_sandbox_runs_total{interpreter="light",status="ok"}'] == 4
        assert found['rstar_sandbox_runs_total{interpreter="light",status="error"}'] == 1
        assert found['rstar_sandbox_runs_total{interpreter="light",status="timeout"}'] == 1
        assert found['rstar_sandbox_runs_total{interpreter="full",status="ok"}'] == 1
        assert found["rstar_sandbox_replayed_steps_total"] == 1
        assert found["rstar_sandbox_moves_total"] == 1
        assert found["rstar_sandbox_run_seconds_count"] == 7
        assert found["rstar_sandbox_sessions"] == 1
        assert (found["rstar_sandbox_queue_steps"], found["rstar_sandbox_up"]) == (0, 1)
        if mode == "fork-tree":
            assert found["rstar_sandbox_snapshots"] == 2
            assert found["rstar_sandbox_evictions_total"] == 4

        await health_while_a_zygote_is_replaced(server, mode)
        assert (await scrape(server))["rstar_sandbox_zygote_restarts_total"] == 1


async def health_while_a_zygote_is_replaced(server, mode):
    stub = health_pb2_grpc.HealthStub(server.channel)
    for service in ("", "rstar.sandbox.v1.SandboxService"):
        request = health_pb2.HealthCheckRequest(service=service)
        assert (await stub.Check(request, timeout=CALL_SECONDS)).status == SERVING
    request = health_pb2.HealthCheckRequest(service=f"rstar.sandbox.v1.SandboxService/{mode}")
    watch = stub.Watch(request, timeout=CALL_SECONDS)
    assert (await watch.read()).status == SERVING
    os.kill(zygotes(server.process.pid)[0], signal.SIGKILL)
    assert (await watch.read()).status == NOT_SERVING
    assert (await watch.read()).status == SERVING
    watch.cancel()
