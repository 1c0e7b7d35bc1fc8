"""A search service that says what a test tells it to, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

USAGE = {
    "rollouts": 12,
    "nodes": 30,
    "policy_tokens": 1234,
    "ppm_calls": 0,
    "sandbox_runs": 28,
    "seconds": 4.5,
}
PROGRESS = {"search_id": "s1", "answer": "41", "confidence": 0.5, "usage": USAGE}
SOLUTION = {
    "search_id": "s1",
    "answer": "42",
    "confidence": 0.75,
    "steps": [
        {
            "text": "Step 1: Multiply",
            "code": "print(6 * 7)",
            "output": "42\n",
            "q": 0.5,
            "visits": 9,
            "ppm_score": None,
        }
    ],
    "alternatives": [
        {"answer": "42", "weight": 0.75, "trajectories": 9},
        {"answer": "41", "weight": 0.25, "trajectories": 3},
    ],
    "stop_reason": "confident",
    "usage": USAGE,
    "models": {"policy": "tiny", "ppm": None},
    "guided": False,
}


def event(name: str, data: object) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


class Scripted:
    """Answers every request with the same status and body, and remembers the requests."""

    def __init__(self, status: int, body: str, kind: str) -> None:
        self.requests: list[dict[str, Any]] = []
        self.url = ""
        self._reply = (
            f"HTTP/1.1 {status} Scripted\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}"
        )

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        self.requests.append(json.loads(await reader.readexactly(length)))
        writer.write(self._reply.encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def _service(
    status: int = 200, body: object = SOLUTION, kind: str = "application/json"
) -> AsyncIterator[Scripted]:
    scripted = Scripted(status, body if isinstance(body, str) else json.dumps(body), kind)
    server = await asyncio.start_server(scripted.answer, "127.0.0.1", 0)
    async with server:
        scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield scripted


@pytest.fixture
def service() -> Callable[..., Any]:
    """Makes a scripted service: status, body, content type."""
    return _service


@pytest.fixture
def streamed() -> str:
    """A whole search as server-sent events."""
    return ": hello\n\n" + event("progress", PROGRESS) + event("solution", SOLUTION)
