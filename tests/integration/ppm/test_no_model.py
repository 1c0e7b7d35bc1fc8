"""The PPM service while no PPM is published."""

import signal
from pathlib import Path

import grpc
import pytest

from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.pb.ppm.v1 import ppm_pb2_grpc as pb_grpc
from services.ppm.servicer import NAME
from tests.support.model_service import SERVING, connect, health, started


async def test_it_runs_and_says_that_it_has_no_model(tmp_path: Path) -> None:
    async with started("ppm", tmp_path / "log") as server:
        channel = await connect(server)
        stub = pb_grpc.PpmServiceStub(channel)
        assert await health(channel, NAME) != SERVING
        info = await stub.Info(pb.InfoRequest(), timeout=10)
        assert (info.ready, info.model_version, info.scale) == (False, "", 0)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Score(pb.ScoreRequest(), timeout=10)
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert raised.value.details().startswith("NO_MODEL")
        assert server.children() == []
        assert await health(channel) == SERVING
        await channel.close()
        server.process.send_signal(signal.SIGTERM)
        assert await server.exit_code() == 0


async def test_a_missing_model_is_named(tmp_path: Path) -> None:
    async with started("ppm", tmp_path / "log", store=tmp_path, model="absent") as server:
        assert await server.exit_code() == 1
    assert "no ppm 'absent'" in server.log.read_text("utf-8")
