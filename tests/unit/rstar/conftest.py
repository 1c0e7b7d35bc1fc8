"""A search service that says what a test tells it to, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
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


FINISHED = {"search_id": "s1", "at": 1.0, "solution": SOLUTION}
JSON = "application/json"
EVENTS = "text/event-stream"


def event(name: str, data: object, identity: str = "") -> str:
    """One server-sent event."""
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n"


STARTED = event("started", {"search_id": "s1", "at": 0.0}, "1-0")
TRIAL = event("trial", {"search_id": "s1", "at": 0.5, "progress": PROGRESS}, "2-0")
END = event("finished", FINISHED, "3-0")


@dataclass(frozen=True)
class Reply:
    """What is answered; the connection is closed after it."""

    status: int = 200
    body: object = None
    kind: str = JSON
    headers: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """It on the wire."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        head = [f"HTTP/1.1 {self.status} Scripted", f"Content-Type: {self.kind}", *self.headers]
        return "\r\n".join([*head, "Connection: close", "", text]).encode()


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Scripted:
    """Answers by its script, a list a route whose last entry repeats; remembers the requests."""

    def __init__(self, script: dict[str, list[Reply]]) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self._script = {route: list(replies) for route, replies in script.items()}

    def to(self, route: str) -> list[Request]:
        """The requests of a route, "METHOD /path"."""
        return [one for one in self.requests if f"{one.method} {one.path}" == route]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:-2])
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, path, headers, json.loads(body) if body else None)
        self.requests.append(request)
        replies = self._script.get(f"{method} {path}", [Reply(404, {"title": "No", "status": 404})])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        writer.write(reply.encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def _service(script: dict[str, list[Reply]]) -> AsyncIterator[Scripted]:
    scripted = Scripted(script)
    server = await asyncio.start_server(scripted.answer, "127.0.0.1", 0)
    async with server:
        scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield scripted


@pytest.fixture
def service() -> Callable[..., Any]:
    """Makes a scripted service out of replies by route."""
    return _service


def solving(*streams: str) -> dict[str, list[Reply]]:
    """A script that takes any search and streams its log, a piece a connection."""
    pieces = streams or (": hello\n\n" + STARTED + TRIAL + END,)
    return {
        "POST /solve": [Reply(202, {"search_id": "s1", "location": "/searches/s1"})],
        "GET /searches/s1/events": [Reply(200, piece, EVENTS) for piece in pieces],
        "DELETE /searches/s1": [Reply(204, "")],
    }
