"""Replicas: found by name, asked for their limits, watched."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from services.search.clients import replicas as module
from services.search.clients import sandbox
from services.search.clients.dependencies import DependencyError
from services.search.clients.replicas import Replicas
from tests.support.scripted import ScriptedSandbox, serving

ADD = sandbox_pb2_grpc.add_SandboxServiceServicer_to_server


@contextlib.asynccontextmanager
async def replicas(target: str, check_seconds: float = 10) -> AsyncIterator[Replicas]:
    """Replicas of a sandbox, closed at the end."""
    found = Replicas("sandbox", target, sandbox.ASSUMED, sandbox.learn, check_seconds=check_seconds)
    try:
        yield found
    finally:
        await found.close()


async def test_a_dns_name_is_looked_up_and_its_addresses_are_the_replicas() -> None:
    async with serving(ADD, ScriptedSandbox()) as target:
        port = target.rpartition(":")[2]
        async with replicas(f"dns:///localhost:{port}") as found:
            with pytest.raises(DependencyError, match="no address"):
                found.pick("s")
            await found.check()
            assert f"127.0.0.1:{port}" in found.endpoints
            assert found.pick("s").address == f"127.0.0.1:{port}"


async def test_a_name_that_nobody_knows_is_no_crash() -> None:
    async with replicas("dns:///nowhere.invalid:1") as found:
        with pytest.raises(DependencyError, match="no address"):
            await found.check()


async def test_a_name_without_addresses_is_told_of_once_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail() -> set[str]:
        raise OSError("no such name")

    async def succeed() -> set[str]:
        return {"127.0.0.1:1"}

    lookups = iter([fail, fail, fail, succeed, fail, fail])
    monkeypatch.setattr(module, "_addresses", lambda host, port: next(lookups)())
    with capture_logs() as logged:
        async with replicas("dns:///policy:1") as found:
            for _ in range(6):
                found._resolved_at = float("-inf")
                await found._resolve()
            # What was found once is kept while the name cannot be looked up.
            assert list(found.endpoints) == ["127.0.0.1:1"]
    assert [entry["event"] for entry in logged] == [
        *("name not resolved", "name resolved", "name not resolved")
    ]


async def test_the_gate_counts_the_replicas_that_are_ready() -> None:
    async with (
        serving(ADD, ScriptedSandbox()) as one,
        serving(ADD, ScriptedSandbox()) as two,
        replicas(f"{one},{two},127.0.0.1:1") as found,
    ):
        await found.check()
        assert [each.ready for each in found.endpoints.values()] == [True, True, False]
        # Two workers each, eight steps a worker.
        assert found.gate.share.places == 32
        assert {found.pick(str(key)).address for key in range(50)} == {one, two}


async def test_one_that_hangs_hides_none_that_is_well() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    deaf = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with deaf, serving(ADD, ScriptedSandbox()) as well:
        port = deaf.sockets[0].getsockname()[1]
        async with replicas(f"127.0.0.1:{port},{well}", check_seconds=1) as found:
            await found.check()
            hung = found.endpoints[f"127.0.0.1:{port}"]
            assert not hung.ready
            assert hung.detail
            assert found.pick("s").address == well
