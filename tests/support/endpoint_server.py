"""An OpenAI-compatible server that says what a test tells it to, faults included."""

import contextlib
import json
import select
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a status, a body and headers; or none before the caller has left."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    never: bool = False


Say = Callable[[dict[str, Any]], Answer]


@dataclass
class EndpointServer:
    """What is answered, and what was asked for.

    Attributes:
        say: answers a request for completions, by its body.
        faults: come before that, one a request; `list_faults` before `listed`.
        listed: the models of `GET /models`; None where there is no such list.
        asked: bodies of the requests for completions, `paths` and `shown` (keys) beside them.
        left: set when a caller has left a request that is never answered.
    """

    url: str
    say: Say = lambda body: chat_reply("```python\n# Step 1: Add\nprint(2)\n```")
    faults: list[Answer] = field(default_factory=list)
    listed: list[dict[str, Any]] | None = None
    list_faults: list[Answer] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most_at_once: int = 0


def chat_reply(*texts: str, tokens: int | None = None, **fields: Any) -> Answer:
    """A reply of /chat/completions with these choices; `fields` are of each choice."""
    choices = [
        {"index": i, "message": {"content": text}, "finish_reason": "stop", **fields}
        for i, text in enumerate(texts)
    ]
    return Answer(body=_with_usage({"choices": choices}, tokens))


def text_reply(*texts: str, tokens: int | None = None, **fields: Any) -> Answer:
    """A reply of /completions."""
    choices = [
        {"index": i, "text": text, "finish_reason": "stop", **fields}
        for i, text in enumerate(texts)
    ]
    return Answer(body=_with_usage({"choices": choices}, tokens))


def refusal(status: int, message: str, param: str = "", **headers: str) -> Answer:
    """An error in the API's form."""
    error = {"message": message, "param": param or None}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"error": error}, named)


def _with_usage(body: dict[str, Any], tokens: int | None) -> dict[str, Any]:
    return body if tokens is None else {**body, "usage": {"completion_tokens": tokens}}


@contextlib.contextmanager
def serving() -> Iterator[EndpointServer]:
    """A server on a free port."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    state = EndpointServer(f"http://127.0.0.1:{http.server_port}/v1")
    http.state = state  # type: ignore[attr-defined]
    http.lock = threading.Lock()  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _state(self) -> EndpointServer:
        state: EndpointServer = self.server.state  # type: ignore[attr-defined]
        return state

    def do_GET(self) -> None:
        listed, faults = self._state.listed, self._state.list_faults
        if faults:
            self._answer(faults.pop(0))
            return
        self._answer(Answer(404) if listed is None else Answer(body={"data": listed}))

    def do_POST(self) -> None:
        state, lock = self._state, self.server.lock  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with lock:
            state.asked.append(body)
            state.paths.append(self.path)
            state.shown.append(self.headers.get("authorization", ""))
            state.at_once += 1
            state.most_at_once = max(state.at_once, state.most_at_once)
            fault = state.faults.pop(0) if state.faults else None
        state.begun.set()
        answer = fault or state.say(body)
        with lock:
            state.at_once -= 1
        if answer.never:
            # The caller's leaving shows as the end of what it sends.
            readable, _, _ = select.select([self.connection], [], [], WAIT_SECONDS)
            if readable and not self.connection.recv(1):
                state.left.set()
            self.close_connection = True
            return
        self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        raw = isinstance(answer.body, bytes)
        content = answer.body if raw else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
