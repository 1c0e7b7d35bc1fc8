"""A kernel that lacks what full isolation needs: found out at the start, and said everywhere."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from tests.integration.sandbox.test_metrics import scrape
from tests.support.run_as import can_become
from tests.support.sandbox_server import CALL_SECONDS, serving

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not can_become(), reason="only root can do without in this way"),
]

NAME = "rstar.sandbox.v1.SandboxService"


async def test_without_notification_and_landlock_steps_are_replayed_and_everybody_is_told():
    async with (
        serving(run_as="gvisor", metrics_port=0, drain_seconds=1) as server,
        server.session() as session,
    ):
        info = await server.stub.Info(pb.InfoRequest(), timeout=CALL_SECONDS)
        assert info.mode == "fork-replay"
        assert set(info.isolation) == {"no_new_privs", "no_capabilities", "rlimits", "seccomp"}
        assert "less than full isolation" in server.said
        assert "mode=fork-replay" in server.said
        assert (await scrape(server))['rstar_sandbox_mode_info{mode="fork-replay"}'] == 1
        assert await health(server, f"{NAME}/fork-replay") == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await health(server, f"{NAME}/fork-tree")
        result = await session.run("x + 1", ["x = 41"])
        assert (result.output, result.timings.replayed_steps) == ("42\n", 1)
        for attempt in ("import os; os.fork()", "open('/etc/passwd')", "import socket"):
            refused = await session.run(f"{attempt}; socket.socket()")
            assert refused.error.type in ("PermissionError", "FileNotFoundError"), refused


async def test_full_isolation_is_not_claimed_where_the_kernel_has_none():
    with pytest.raises(RuntimeError, match=r"mode fork-tree .*landlock"):
        async with serving("--require", "full", run_as="gvisor", light=False):
            pass


async def health(server, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    checked = await health_pb2_grpc.HealthStub(server.channel).Check(request, timeout=CALL_SECONDS)
    return checked.status
