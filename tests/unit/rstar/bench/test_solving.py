"""Rounds of problems against a small HTTP server: what is counted, and what is a fault."""

import asyncio
import json

import pytest

from rstar.bench.solving import Load, Outcome, solve_all


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    body = json.loads(await reader.readexactly(length))
    status, reply = body["reply"]
    text = json.dumps(reply).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + text)
    await writer.drain()
    writer.close()


def answered(answer: str | None) -> list[object]:
    """A reply of the service."""
    return [200, {"answer": answer, "usage": {"nodes": 10, "policy_tokens": 20}}]


async def test_nodes_answers_and_faults_are_counted() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    replies = [answered("4"), answered(None), [503, {"title": "policy: gone"}]]
    async with server:
        load = await solve_all(url, [{"reply": reply} for reply in replies], seconds=5)
    assert (load.nodes, load.tokens, load.answered) == (20, 40, 1)
    assert load.faults == ['503: {"title": "policy: gone"}']
    assert load.nodes_per_second == pytest.approx(20 / load.seconds)


async def test_a_server_that_is_not_there_is_a_fault_of_each_request() -> None:
    load = await solve_all("http://127.0.0.1:1", [{}, {}], seconds=5)
    assert len(load.faults) == 2
    assert "ConnectError" in load.faults[0]


def test_quantiles() -> None:
    load = Load([Outcome(1, 1, float(i)) for i in range(101)], 1.0)
    assert (load.quantile(50), load.quantile(99)) == (50.0, 99.0)
    assert Load([Outcome(1, 1, 3.0)], 1.0).quantile(99) == 3.0
