"""The service around the steps: limits, sessions, the queue, callers who leave, health."""

import asyncio
import os
import signal
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from tests.support.sandbox_server import CALL_SECONDS, Session, alive, descendants, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPIN = "while True: pass"


async def refused(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_info_states_mode_limits_and_packages(server):
    info = await server.stub.Info(pb.InfoRequest(), timeout=CALL_SECONDS)
    assert info.mode in ("fork-tree", "fork-replay")
    assert {"seccomp", "rlimits", "no_new_privs", "no_capabilities"} <= set(info.isolation)
    assert {"sympy", "numpy", "mpmath"} <= set(info.packages)
    assert info.max_limits == pb.Limits(wall_ms=5000, memory_mib=256, output_bytes=16384)
    assert (info.workers, info.max_code_bytes) == (2, 65536)


@pytest.mark.parametrize("name", ["", "rstar.sandbox.v1.SandboxService"])
async def test_health_is_serving(server, name):
    stub = health_pb2_grpc.HealthStub(server.channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=CALL_SECONDS)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("changes", "field", "limit"),
    [
        ({"session_id": ""}, "session_id", "1 to 64 characters"),
        ({"session_id": "a b"}, "session_id", "1 to 64 characters"),
        ({"session_id": "a\n"}, "session_id", "1 to 64 characters"),
        ({"session_id": "a" * 65}, "session_id", "1 to 64 characters"),
        ({"step": pb.CodeStep(code="1")}, "step.node_id", "1 to 64 characters"),
        ({"step": pb.CodeStep(node_id="é", code="1")}, "step.node_id", "1 to 64 characters"),
        ({"step": pb.CodeStep(node_id="n", code="é" * 32769)}, "step.code", "65536 bytes"),
        ({"ancestors": [pb.CodeStep(node_id="n")] * 65}, "ancestors", "at most 64 steps"),
        ({"ancestors": [pb.CodeStep(code="1")]}, "ancestors[0].node_id", "1 to 64 characters"),
        ({"limits": pb.Limits(wall_ms=5001)}, "limits.wall_ms", "at most 5000"),
        ({"limits": pb.Limits(memory_mib=257)}, "limits.memory_mib", "at most 256"),
        ({"limits": pb.Limits(output_bytes=16385)}, "limits.output_bytes", "at most 16384"),
    ],
)
async def test_a_bad_request_names_its_field_and_limit(server, changes, field, limit):
    parts = {"session_id": "s", "step": pb.CodeStep(node_id="n", code="1"), **changes}
    code, details = await refused(server.stub.Run(pb.RunRequest(**parts), timeout=CALL_SECONDS))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field}: ")
    assert limit in details


async def test_a_session_that_is_not_open_is_not_found(server):
    async with server.session() as session:
        await session.run("1")
    code, details = await refused(session.run("1"))
    assert code == grpc.StatusCode.NOT_FOUND
    assert session.name in details


async def test_opening_and_closing_repeat_without_harm(server, session):
    await server.stub.OpenSession(pb.OpenSessionRequest(session_id=session.name))
    assert (await session.run("1")).output == "1\n"
    for _ in range(2):
        await server.stub.CloseSession(pb.CloseSessionRequest(session_id=session.name))


async def test_closing_a_session_kills_what_runs_in_it(server):
    async with server.session() as session:
        before = server.descendants()
        spinning = asyncio.ensure_future(session.run(SPIN))
        await until(lambda: server.descendants() - before)
    code, _ = await refused(spinning)
    assert code == grpc.StatusCode.NOT_FOUND
    await until(lambda: server.descendants() <= before)


async def test_a_caller_who_leaves_takes_its_processes_along(server, session):
    await session.run("1")
    before = server.descendants()
    call = server.stub.Run(session.request(SPIN), timeout=CALL_SECONDS)
    await until(lambda: server.descendants() - before)
    call.cancel()
    await until(lambda: server.descendants() <= before)


async def test_the_caller_s_deadline_ends_the_step(server, session):
    await session.run("1")
    before = server.descendants()
    code, _ = await refused(server.stub.Run(session.request(SPIN), timeout=0.5))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: server.descendants() <= before)


async def test_a_full_queue_is_refused_with_a_hint_and_recovers():
    async with (
        serving(workers=1, max_queue=2, max_sessions=1, drain_seconds=1) as server,
        server.session() as session,
    ):
        calls = [
            asyncio.ensure_future(session.run(SPIN, node=f"c{i}", wall_ms=1500)) for i in range(3)
        ]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.gather(*(session.run("1", node=f"d{i}") for i in range(8)))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "250"
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert any(getattr(r, "status", None) == pb.STATUS_TIMEOUT for r in results)
        assert (await session.run("2")).output == "2\n"

        code, details = await refused(
            server.stub.OpenSession(pb.OpenSessionRequest(session_id="another"))
        )
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details.startswith("sessions: ")


async def test_idle_sessions_are_closed():
    async with serving(session_idle_seconds=0.2, drain_seconds=1) as server:
        await server.stub.OpenSession(pb.OpenSessionRequest(session_id="s"))
        request = pb.RunRequest(session_id="s", step=pb.CodeStep(node_id="n", code="1"))
        await asyncio.sleep(2)
        code, _ = await refused(server.stub.Run(request))
        assert code == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(("kind", "past"), [("light", ""), ("full", "import sympy\n")])
async def test_a_killed_zygote_is_replaced_and_no_step_is_lost(kind, past):
    async with serving(drain_seconds=1) as server, server.session() as session:
        await session.run(past + "1")
        (zygote,) = [pid for pid in zygotes(server.process.pid) if kind in words(pid)]
        before = server.descendants()
        waiting = asyncio.ensure_future(session.run(past + "import time; time.sleep(1); 7"))
        await until(lambda: server.descendants() - before)
        orphans = descendants(zygote) | {zygote}
        os.kill(zygote, signal.SIGKILL)
        assert (await waiting).output == "7\n"
        assert not orphans & server.descendants()
        assert (await session.run("x", [past + "x = 8"])).output == "8\n"


async def test_all_die_with_a_killed_server():
    async with serving(drain_seconds=1) as server:
        await server.stub.OpenSession(pb.OpenSessionRequest(session_id="s"))
        spinning = asyncio.ensure_future(Session(server, "s").run(SPIN))
        await until(lambda: len(server.descendants()) >= 2)
        processes = server.descendants()
        server.process.kill()
        await server.process.wait()
        await refused(spinning)
        await until(lambda: not any(map(alive, processes)))


def zygotes(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "services.sandbox.zygote" in words(int(child))]


def words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
