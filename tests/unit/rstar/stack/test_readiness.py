"""Probes against servers that are there, are not, or are not ready."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

from rstar.stack.journal import Journal
from rstar.stack.ports import free_ports
from rstar.stack.readiness import Probe, Readiness, grpc_probe, http_probe, redis_probe
from rstar.stack.supervisor import Supervisor
from rstar.stack.unit import Unit

MakeUnit = Callable[..., Unit]
SECONDS = 10.0


async def test_a_serving_grpc_server_is_ready(make_unit: MakeUnit, journal: Journal) -> None:
    unit = make_unit("first")
    async with Supervisor([unit], journal):
        seen = await grpc_probe(unit.address)(SECONDS)
    assert (seen.ready, seen.answered, seen.detail) == (True, True, "")


async def test_a_server_that_does_not_serve_is_not_ready(
    make_unit: MakeUnit, journal: Journal
) -> None:
    unit = make_unit("first", "--unready")
    answering = replace(unit, probe=_answers(unit.probe))
    async with Supervisor([answering], journal):
        seen = await grpc_probe(unit.address)(SECONDS)
    assert (seen.ready, seen.answered, seen.detail) == (False, True, "not serving")


def _answers(probe: Probe) -> Probe:
    async def answered(timeout: float) -> Readiness:
        seen = await probe(timeout)
        return replace(seen, ready=seen.answered)

    return answered


async def test_where_nothing_listens_nothing_answers() -> None:
    [port] = free_ports("127.0.0.1", 1)
    for probe in (
        grpc_probe(f"127.0.0.1:{port}"),
        http_probe(f"http://127.0.0.1:{port}/ready"),
        redis_probe(f"redis://127.0.0.1:{port}/0"),
    ):
        seen = await probe(SECONDS)
        assert (seen.ready, seen.answered) == (False, False)
        assert seen.detail


async def test_an_http_service_says_what_it_waits_for() -> None:
    body = json.dumps(
        {
            "ready": False,
            "dependencies": {
                "redis": {"ready": True, "detail": ""},
                "policy": {"ready": False, "detail": "loading"},
            },
        }
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 503 Unavailable\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        seen = await http_probe(f"http://127.0.0.1:{port}/ready")(SECONDS)
    assert (seen.ready, seen.answered, seen.detail) == (False, True, "policy: loading")


async def test_a_server_that_says_nothing_does_not_hold_the_probe() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for probe in (
            grpc_probe(f"127.0.0.1:{port}"),
            http_probe(f"http://127.0.0.1:{port}/ready"),
            redis_probe(f"redis://127.0.0.1:{port}/0"),
        ):
            async with asyncio.timeout(30):
                assert not (await probe(0.3)).answered
