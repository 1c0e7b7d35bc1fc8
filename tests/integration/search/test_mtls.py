"""Whole processes over mutual TLS: search, sandbox, policy and PPM trust one authority alone."""

import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar.bench.scripted import ScriptedPolicy, ScriptedPpm, spread
from rstar.stack.ports import free_ports
from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc
from services.common.tls import ClientTls, ServerTls
from tests.support.fleet import LOCALHOST, Child, Replica, until
from tests.support.pki import Pki

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = policy_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name
PPM = ppm_pb2.DESCRIPTOR.services_by_name["PpmService"].full_name


@contextlib.asynccontextmanager
async def model(name: str, add: Callable[[grpc.aio.Server], None], pki: Pki) -> AsyncIterator[str]:
    """A scripted model that asks its callers for certificates; its target."""
    server = rpc.Server((name,), max_concurrent_rpcs=100)
    add(server.grpc)
    port = await server.start("localhost", 0, ServerTls(*pki.server, client_ca=pki.ca))
    for each in ("", name):
        await server.set_serving(True, each)
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def started(child: Child) -> AsyncIterator[None]:
    """A process, gone at the end."""
    try:
        child.launch()
        yield
    finally:
        await child.stop()


def sandbox(pki: Pki, folder: Path) -> tuple[str, Child]:
    """A sandbox that asks its callers for certificates, and its target."""
    [port] = free_ports(LOCALHOST, 1)
    target = f"localhost:{port}"

    async def ready() -> bool:
        async with rpc.channel(target, ClientTls(pki.ca, *pki.client)) as channel:
            try:
                reply = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=2
                )
            except grpc.aio.AioRpcError:
                return False
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    cert, key = pki.server
    settings = {"PORT": port, "TLS_CERT": cert, "TLS_KEY": key, "TLS_CLIENT_CA": pki.ca}
    environment = {f"RSTAR_SANDBOX_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "services.sandbox"]
    return target, Child("sandbox", command, environment, ready, folder / "sandbox.log")


def search(redis_url: str, targets: dict[str, str], folder: Path, **tls: Path) -> Replica:
    """A search service that calls the others over TLS."""
    rest, port = free_ports(LOCALHOST, 2)
    settings: dict[str, object] = {"port": rest, "grpc_port": port, "redis_url": redis_url}
    settings |= {f"{name}_target": target for name, target in targets.items()}
    settings |= {"dependency_tls": True} | {f"dependency_tls_{k}": v for k, v in tls.items()}
    environment = {f"RSTAR_SEARCH_{key}".upper(): value for key, value in settings.items()}
    return Replica("search", rest, environment, folder / f"search-{len(tls)}.log")


async def test_searches_run_over_mutual_tls_and_not_without_a_certificate(
    redis_url: str, tmp_path: Path
) -> None:
    pki = Pki(tmp_path)

    def add_policy(server: grpc.aio.Server) -> None:
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(ScriptedPolicy(), server)

    def add_ppm(server: grpc.aio.Server) -> None:
        ppm_pb2_grpc.add_PpmServiceServicer_to_server(ScriptedPpm(spread), server)

    async with model(POLICY, add_policy, pki) as policy, model(PPM, add_ppm, pki) as ppm:
        at, box = sandbox(pki, tmp_path)
        targets = {"policy": policy, "ppm": ppm, "sandbox": at}
        cert, key = pki.client
        known = search(redis_url, targets, tmp_path, ca=pki.ca, cert=cert, key=key)
        stranger = search(redis_url, targets, tmp_path, ca=pki.ca)
        async with started(box), started(known), started(stranger), httpx.AsyncClient() as client:
            await box.ready()
            await known.ready()
            body = {"problem": "1 + 1?", "budget": {"rollouts": 4}, "search": {"candidates": 2}}
            reply = await client.post(f"{known.url}/solve", json=body, timeout=60)
            assert reply.status_code == 200, reply.text
            usage = reply.json()["usage"]
            assert usage["sandbox_runs"] > 0
            assert usage["ppm_calls"] > 0

            async def answers() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"{stranger.url}/health")).status_code == 200
                return False

            await until(answers)
            refused = await client.get(f"{stranger.url}/ready")
            assert refused.status_code == 503
            states = refused.json()["dependencies"]
            assert {name: states[name]["ready"] for name in states} == {
                "redis": True,
                "policy": False,
                "ppm": False,
                "sandbox": False,
            }
            reply = await client.post(f"{stranger.url}/solve", json=body, timeout=60)
            assert reply.status_code == 503, reply.text
