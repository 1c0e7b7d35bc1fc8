"""The process as a stack starts it: it waits for the endpoint, and follows its health."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rstar.stack.config import StackConfig, choose_addresses
from rstar.stack.readiness import Readiness, grpc_probe
from rstar.stack.services import policy_unit
from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from tests.support import endpoint_server
from tests.support.endpoint_server import Answer

WAIT_SECONDS = 40


@contextlib.asynccontextmanager
async def started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its gRPC target."""
    for name, value in settings.items():
        monkeypatch.setenv(f"RSTAR_ENDPOINT_{name.upper()}", value)
    config = StackConfig(
        model="",
        policy_module="services.policy.endpoint",
        policy_prefix="endpoint",
        grpc_port=0,
        home=folder,
    )
    unit = policy_unit(config, choose_addresses(config, ""))
    process = await asyncio.create_subprocess_exec(
        *unit.command, env=dict(unit.env), stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process, unit.address
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def until(target: str, *, ready: bool) -> Readiness:
    async with asyncio.timeout(WAIT_SECONDS):
        while (seen := await grpc_probe(target)(1.0)).ready is not ready or not seen.answered:
            await asyncio.sleep(0.05)
    return seen


async def test_it_serves_once_the_endpoint_answers_and_stops_when_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endpoint_server.serving() as server:
        # What may pass is waited for.
        server.list_faults = [Answer(503)]
        server.listed = [{"id": "big", "max_model_len": 1234}]
        settings = {"url": server.url, "model": "big", "probe_seconds": "0.1"}
        async with started(tmp_path, monkeypatch, **settings) as (process, target):
            await until(target, ready=True)
            async with rpc.channel(target) as channel:
                info = await pb_grpc.PolicyServiceStub(channel).Info(pb.InfoRequest(), timeout=5)
            assert (info.model_version, info.context_tokens) == ("endpoint-big", 1234)
            server.list_faults = [Answer(503)] * 20
            await until(target, ready=False)
            await until(target, ready=True)
            process.terminate()
            assert await process.wait() == 0


async def test_a_refused_key_ends_it_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-hunter2-hunter2"
    with endpoint_server.serving() as server:
        server.list_faults = [endpoint_server.refusal(401, f"wrong key {key}")]
        settings = {"url": server.url, "model": "big", "api_key": key}
        async with started(tmp_path, monkeypatch, **settings) as (process, _):
            _, said = await process.communicate()
    assert process.returncode == 1
    assert b"the endpoint refuses: HTTP 401: wrong key (the key)" in said
    assert key.encode() not in said
    assert b"Traceback" not in said
