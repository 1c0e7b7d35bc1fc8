"""The policy's process: how it starts, fails and ends, and what it leaves behind."""

import signal
from pathlib import Path

import grpc
import pytest

from services.common import rpc
from services.common.models.store import StoredModel
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy.servicer import NAME
from tests.support.model_service import SERVING, connect, gone, health, started

# How one ends that has served is the last test of test_propose.py, which has such a server.
pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


def settings(model: StoredModel) -> dict[str, object]:
    return {
        "store": model.path.parent.parent,
        "model": model.manifest.version,
        "kv_cache_gib": 0.5,
    }


async def test_a_starting_server_says_so_and_stops_at_once(
    smollm2: StoredModel, tmp_path: Path
) -> None:
    async with started("policy", tmp_path / "log", **settings(smollm2)) as server:
        await server.engine("spawn_main")
        async with rpc.channel(await server.address()) as channel:
            assert await health(channel) != SERVING
            assert await health(channel, NAME) != SERVING
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await pb_grpc.PolicyServiceStub(channel).Info(pb.InfoRequest(), timeout=10)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        children = server.children()
        server.process.send_signal(signal.SIGTERM)
        assert await server.exit_code() == 0
        await gone(children)


async def test_a_server_killed_while_it_starts_leaves_nothing(
    smollm2: StoredModel, tmp_path: Path
) -> None:
    async with started("policy", tmp_path / "log", **settings(smollm2)) as server:
        await server.engine("spawn_main")
        children = server.children()
        server.process.kill()
        await server.exit_code()
        await gone(children)


async def test_a_dead_engine_ends_the_server(smollm2: StoredModel, tmp_path: Path) -> None:
    async with started("policy", tmp_path / "log", **settings(smollm2)) as server:
        channel = await connect(server, NAME)
        children = server.children()
        (await server.engine("EngineCore")).kill()
        assert await server.exit_code() == 1
        await gone(children)
        await channel.close()
    assert "the engine has died" in server.log.read_text("utf-8")


async def test_a_missing_model_is_named(tmp_path: Path) -> None:
    async with started("policy", tmp_path / "log", store=tmp_path, model="absent") as server:
        assert await server.exit_code() == 1
    assert "no policy 'absent'" in server.log.read_text("utf-8")


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async with started("ppm", tmp_path / "first", model="") as first:
        port = (await first.address()).rpartition(":")[2]
        async with started("policy", tmp_path / "log", store=tmp_path, port=port) as server:
            assert await server.exit_code() == 1
        assert f":{port}" in server.log.read_text("utf-8")
