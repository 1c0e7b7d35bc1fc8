"""Requests and replies of the API without the sending, shared by both clients."""

import os
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from rstar.client.errors import ApiError, ClientError, SearchFailed, Unreachable, api_error
from rstar.client.models import (
    ApiKey,
    Event,
    NewApiKey,
    Problem,
    Progress,
    Search,
    SearchPage,
    Solution,
    Tree,
)
from rstar.client.sse import ServerEvent

DEFAULT_URL = "http://127.0.0.1:8000"
KEY_VARIABLE = "RSTAR_API_KEY"
CA_VARIABLE = "RSTAR_TLS_CA"
CONNECT_SECONDS = 5.0
REPLY_SECONDS = 30.0
# A stream without events carries heartbeats, about every ten seconds.
SILENCE_SECONDS = 60.0
PAGE = 100
CONFLICT = 409

Model = TypeVar("Model", bound=BaseModel)


class Keys(BaseModel):
    """All keys."""

    keys: list[ApiKey]


class Accepted(BaseModel):
    """A search that was begun."""

    search_id: str


@dataclass(frozen=True, slots=True)
class Call(Generic[Model]):
    """One request and the shape of its reply; None for a reply without a body.

    Nearly every call may be repeated: one that starts a search carries an Idempotency-Key.
    """

    method: str
    path: str
    reply: type[Model] | None
    json: Mapping[str, Any] | None = None
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


def submit(
    problem: str,
    budget: Mapping[str, object] | None,
    search: Mapping[str, object] | None,
    idempotency_key: str | None,
) -> Call[Accepted]:
    """Start a search that does not depend on its caller's connection."""
    body = {"problem": problem, "budget": dict(budget or {}), "search": dict(search or {})}
    headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
    return Call("POST", "/solve", Accepted, json=body | {"async": True}, headers=headers)


def get(search_id: str) -> Call[Search]:
    """One search."""
    return Call("GET", f"/searches/{_segment(search_id)}", Search)


def tree(search_id: str) -> Call[Tree]:
    """Its tree."""
    return Call("GET", f"/searches/{_segment(search_id)}/tree", Tree)


def cancel(search_id: str) -> Call[BaseModel]:
    """Its end."""
    return Call("DELETE", f"/searches/{_segment(search_id)}", None)


def events(search_id: str, after: str | None) -> Call[BaseModel]:
    """Its log as a stream."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    return Call("GET", f"/searches/{_segment(search_id)}/events", None, headers=headers)


def page(cursor: str | None, status: str | None) -> Call[SearchPage]:
    """A page of searches, the newest first."""
    params: dict[str, str | int] = {"limit": PAGE}
    params |= {"cursor": cursor} if cursor else {}
    params |= {"status": status} if status else {}
    return Call("GET", "/searches", SearchPage, params=params)


def create_key(name: str, fields: Mapping[str, object]) -> Call[NewApiKey]:
    """A new API key."""
    given = {key: value for key, value in fields.items() if value is not None}
    return Call("POST", "/keys", NewApiKey, json={"name": name, **given}, repeatable=False)


def list_keys() -> Call[Keys]:
    """All API keys."""
    return Call("GET", "/keys", Keys)


def revoke_key(key_id: str) -> Call[BaseModel]:
    """The end of an API key."""
    return Call("DELETE", f"/keys/{_segment(key_id)}", None)


def _segment(text: str) -> str:
    """A part of a path that cannot be more than one."""
    if not text or not all(c.isascii() and (c.isalnum() or c in "-_") for c in text):
        raise ValueError(f"{text!r} is no id")
    return text


def options(url: str, api_key: str | None) -> dict[str, Any]:
    """Arguments of httpx' clients."""
    key = api_key or os.environ.get(KEY_VARIABLE)
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        # Proxies of the environment are for the world outside, not for the stack.
        "trust_env": False,
        "verify": _verified_by(os.environ.get(CA_VARIABLE)),
    }


def _verified_by(authorities: str | None) -> ssl.SSLContext | bool:
    """By whom a certificate must be signed; httpx' own list where no file is named."""
    return ssl.create_default_context(cafile=authorities) if authorities else True


def arguments(call: Call[Any], read_seconds: float) -> dict[str, Any]:
    """Arguments of httpx' `request` and `stream`."""
    return {
        "method": call.method,
        "url": call.path,
        "json": call.json,
        "params": call.params,
        "headers": call.headers,
        "timeout": timeout(read_seconds),
    }


def timeout(read_seconds: float) -> httpx.Timeout:
    """Deadlines of one request."""
    return httpx.Timeout(read_seconds, connect=CONNECT_SECONDS)


class NothingMore(Exception):  # noqa: N818 - a state
    """A log that has ended, and of which all is known."""


def check_stream(reply: httpx.Response) -> None:
    """As `check`, and NothingMore where no event will come."""
    check(reply)
    if reply.status_code == httpx.codes.NO_CONTENT:
        raise NothingMore


def parse(call: Call[Model], reply: httpx.Response) -> Model | None:
    """The body of a reply that was read; ApiError where it is an error."""
    check(reply)
    return None if call.reply is None else read(call.reply, reply.text)


def check(reply: httpx.Response) -> None:
    """ApiError for a reply, its body read, that is an error."""
    if reply.is_success:
        return
    try:
        problem = Problem.model_validate_json(reply.content)
    except ValidationError:
        title = reply.reason_phrase
        problem = Problem(title=title, status=reply.status_code, detail=reply.text[:200])
    raise api_error(problem, _seconds(reply.headers.get("Retry-After")))


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None


def read(model: type[Model], text: str | bytes) -> Model:
    """A document of a reply; ClientError where it has another shape."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        where = error.errors()[0]
        raise ClientError(
            f"an unexpected {model.__name__} came back: {where['loc']}: {where['msg']}"
        ) from error


def present(call: Call[Model], reply: Model | None) -> Model:
    """The reply of a call that has one."""
    if reply is None:
        raise ClientError(f"{call.method} {call.path}: an empty reply came back")
    return reply


def cut_short(url: str) -> Unreachable:
    """A stream that ended before its search did."""
    return Unreachable(f"{url} ended the stream before the search had ended")


def broken(url: str, error: httpx.HTTPError) -> Unreachable:
    """What a failure on the way is called."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Unreachable(f"nothing answers at {url}: start the stack with `rstar up`")
    return Unreachable(f"{url} broke off: {type(error).__name__} {error}".rstrip())


class _Data(BaseModel):
    """The parts of an event's data that the client itself uses."""

    search_id: str
    progress: Progress | None = None
    solution: Solution | None = None
    error: Problem | None = None


def event(sent: ServerEvent) -> Event:
    """An entry of the log; ApiError for an error that the service sends in its place."""
    if sent.name == "error":
        raise api_error(read(Problem, sent.data))
    return read(Event, _envelope(sent))


def _envelope(sent: ServerEvent) -> bytes:
    """The event with its id and name around its data, which stays as it was sent."""
    head = Event(id=sent.id or "", name=sent.name, data={}).model_dump_json(exclude={"data"})
    return f'{head[:-1]},"data":{sent.data}}}'.encode()


def outcome(entry: Event) -> Progress | Solution | None:
    """What an entry says of its search; None where nothing. SearchFailed, ApiError for a fault."""
    if entry.name not in ("started", "trial", "finished", "failed"):
        return None
    try:
        data = _Data.model_validate(entry.data)
    except ValidationError as error:
        where = error.errors()[0]
        raise ClientError(
            f"an unexpected {entry.name} event came back: {where['loc']}: {where['msg']}"
        ) from error
    match entry.name:
        case "failed":
            raise _failure(data.error)
        case "finished":
            return data.solution
        case "started":
            return Progress(search_id=data.search_id)
        case _:
            return data.progress


def _failure(problem: Problem | None) -> ClientError:
    if problem is None:
        return SearchFailed("the search failed")
    refused = api_error(problem)
    return refused if type(refused) is not ApiError else SearchFailed(str(refused))
