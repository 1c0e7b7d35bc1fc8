"""Both clients against a service over real HTTP; the sync one in a thread."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rstar.client import (
    ApiError,
    AsyncClient,
    Busy,
    Client,
    ClientError,
    Denied,
    Event,
    NotFound,
    Progress,
    Refused,
    Retry,
    SearchFailed,
    Solution,
    Unavailable,
    Unreachable,
)
from rstar.stack.ports import free_ports
from tests.unit.rstar.conftest import END, SOLUTION, STARTED, TRIAL, Reply, event, solving
from tests.unit.rstar.conftest import EVENTS as STREAM

Service = Callable[..., Any]
QUICK = Retry(attempts=3, first_pause_seconds=0.01, longest_pause_seconds=0.05)
REFUSAL = {
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "budget.tokens: at least 1",
    "errors": [{"field": "budget.tokens", "limit": "at least 1"}],
}
BUSY = {"title": "Too many searches", "status": 429, "detail": "64 searches are running"}
DOWN = {"title": "Away", "status": 503, "detail": "policy: refused", "dependency": "policy"}
SEARCH = {
    "search_id": "s1",
    "status": "finished",
    "created": 1.0,
    "problem": "6 * 7?",
    "method": "mcts",
    "solution": SOLUTION,
}


class InThread:
    """The sync client with the async one's face: each call in a thread, iterators drained."""

    def __init__(self, url: str, **options: Any) -> None:
        self.client = Client(url, **options)

    async def __aenter__(self) -> "InThread":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)
        if name not in ("stream", "watch", "events", "searches"):
            return lambda *a, **k: asyncio.to_thread(method, *a, **k)

        async def iterate(*a: Any, **k: Any) -> AsyncIterator[Any]:
            for one in await asyncio.to_thread(lambda: list(method(*a, **k))):
                yield one

        return iterate


@pytest.fixture(params=[AsyncClient, InThread], ids=["async", "sync"])
def client(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a client that repeats quickly."""
    return lambda url, **options: request.param(url, **({"retry": QUICK} | options))


async def test_a_search_is_begun_under_a_key_and_followed_to_its_solution(
    service: Service, client: Any
) -> None:
    async with service(solving()) as scripted, client(scripted.url, api_key="k1") as one:
        solution = await one.solve("6 * 7?", {"tokens": 9}, {"seed": 1})
    assert (solution.answer, solution.stop_reason) == ("42", "confident")
    [begun] = scripted.to("POST /solve")
    assert begun.body == {
        "problem": "6 * 7?",
        "budget": {"tokens": 9},
        "search": {"seed": 1},
        "async": True,
    }
    assert len(begun.headers["idempotency-key"]) == 32
    assert begun.headers["authorization"] == "Bearer k1"
    assert not scripted.to("DELETE /searches/s1")


async def test_progress_comes_first(service: Service, client: Any) -> None:
    async with service(solving()) as scripted, client(scripted.url) as one:
        events = [event async for event in one.stream("6 * 7?")]
    assert [type(event) for event in events] == [Progress, Progress, Solution]
    assert [event.answer for event in events] == [None, "41", "42"]


async def test_a_broken_stream_goes_on_after_the_last_event(service: Service, client: Any) -> None:
    script = solving(STARTED, TRIAL + "id: 3-0\nevent: finished\ndata: {", END)
    async with service(script) as scripted, client(scripted.url) as one:
        events = [event async for event in one.stream("6 * 7?")]
    assert [type(event) for event in events] == [Progress, Progress, Solution]
    asked = scripted.to("GET /searches/s1/events")
    # An event that was cut off has not been seen, though its id was.
    assert [request.headers.get("last-event-id") for request in asked] == [None, "1-0", "2-0"]


async def test_a_stopping_replica_is_left_for_the_next(service: Service, client: Any) -> None:
    error = event("error", {"title": "Stopping", "status": 503, "dependency": "search"})
    script = solving(STARTED + error, TRIAL + END)
    async with service(script) as scripted, client(scripted.url) as one:
        entries = [entry async for entry in one.events("s1")]
    assert [(entry.id, entry.name) for entry in entries] == [
        ("1-0", "started"),
        ("2-0", "trial"),
        ("3-0", "finished"),
    ]
    assert all(type(entry) is Event for entry in entries)


async def test_what_is_passing_is_tried_again_under_the_same_key(
    service: Service, client: Any
) -> None:
    replies = [Reply(429, BUSY, headers=("Retry-After: 0",)), Reply(503, DOWN)]
    script = solving()
    script["POST /solve"] = replies + script["POST /solve"]
    async with service(script) as scripted, client(scripted.url) as one:
        assert (await one.solve("6 * 7?")).answer == "42"
    keys = {request.headers["idempotency-key"] for request in scripted.to("POST /solve")}
    assert (len(scripted.to("POST /solve")), len(keys)) == (3, 1)


@pytest.mark.parametrize(
    ("status", "document", "kind", "line", "tries"),
    [
        (422, REFUSAL, Refused, "422 Unprocessable Content: budget.tokens: at least 1", 1),
        (401, {"title": "Unauthenticated", "status": 401}, Denied, "Unauthenticated", 1),
        (404, {"title": "Not found", "status": 404}, NotFound, "Not found", 1),
        (429, BUSY, Busy, "429 Too many searches: 64 searches are running", 3),
        (503, DOWN, Unavailable, "503 Away: policy: refused", 3),
        (502, "<html>bad gateway", ApiError, "502 Scripted: <html>bad gateway", 1),
    ],
)
async def test_errors_have_kinds_and_are_one_clear_line(
    service: Service,
    client: Any,
    status: int,
    document: object,
    kind: type[ApiError],
    line: str,
    tries: int,
) -> None:
    script = {"POST /solve": [Reply(status, document)]}
    async with service(script) as scripted, client(scripted.url) as one:
        with pytest.raises(ApiError) as failure:
            await one.solve("?")
    assert type(failure.value) is kind
    assert line in str(failure.value)
    assert len(scripted.requests) == tries


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"title": "Internal error", "status": 500, "detail": "broken"}, SearchFailed),
        (DOWN, Unavailable),
        (REFUSAL, Refused),
    ],
)
async def test_a_search_that_failed_says_why(
    service: Service, client: Any, error: dict[str, Any], kind: type[ClientError]
) -> None:
    failed = event("failed", {"search_id": "s1", "at": 1.0, "error": error}, "2-0")
    async with service(solving(STARTED + failed)) as scripted, client(scripted.url) as one:
        with pytest.raises(kind):
            await one.solve("?")
    assert len(scripted.to("GET /searches/s1/events")) == 1


async def test_who_leaves_a_stream_cancels_its_search(service: Service) -> None:
    async with service(solving()) as scripted:
        async with AsyncClient(scripted.url, retry=QUICK) as one:
            stream = one.stream("?")
            assert isinstance(await anext(stream), Progress)
            await stream.aclose()
        assert len(scripted.to("DELETE /searches/s1")) == 1

        def leave() -> None:
            with Client(scripted.url, retry=QUICK) as other:
                events = other.stream("?")
                assert isinstance(next(events), Progress)
                events.close()

        await asyncio.to_thread(leave)
        assert len(scripted.to("DELETE /searches/s1")) == 2


async def test_a_stream_that_never_ends_well_is_given_up(service: Service, client: Any) -> None:
    script = solving(": hello\n\n")
    async with service(script) as scripted, client(scripted.url) as one:
        with pytest.raises(Unreachable, match="before the search had ended"):
            await one.solve("?")
    assert len(scripted.to("GET /searches/s1/events")) == 3


async def test_a_log_of_which_all_is_known_has_no_more_events(
    service: Service, client: Any
) -> None:
    script = {"GET /searches/s1/events": [Reply(204, "")]}
    async with service(script) as scripted, client(scripted.url) as one:
        assert [entry async for entry in one.events("s1", "3-0")] == []
    [asked] = scripted.requests
    assert asked.headers["last-event-id"] == "3-0"


async def test_searches_are_looked_at_and_ended(service: Service, client: Any) -> None:
    page = "/searches?limit=100"
    script = {
        "GET /searches/s1": [Reply(200, SEARCH)],
        "DELETE /searches/s1": [Reply(204, ""), Reply(409, {"title": "Ended", "status": 409})],
        f"GET {page}": [Reply(200, {"searches": [SEARCH], "next": "s1"})],
        f"GET {page}&cursor=s1": [Reply(200, {"searches": [SEARCH], "next": None})],
    }
    async with service(script) as scripted, client(scripted.url) as one:
        found = await one.get("s1")
        assert (found.status, found.solution.answer) == ("finished", "42")
        assert await one.cancel("s1") is True
        assert await one.cancel("s1") is False
        assert [search.search_id async for search in one.searches()] == ["s1", "s1"]
        with pytest.raises(ValueError, match="no id"):
            await one.get("../keys")


async def test_keys_are_made_once(service: Service, client: Any) -> None:
    script = {"POST /keys": [Reply(503, DOWN)]}
    async with service(script) as scripted, client(scripted.url) as one:
        with pytest.raises(Unavailable):
            await one.create_key("evaluation", searches=2)
    [asked] = scripted.requests
    assert asked.body == {"name": "evaluation", "scopes": ["solve"], "searches": 2}


async def test_where_nothing_listens_the_way_to_start_it_is_told(client: Any) -> None:
    [port] = free_ports("127.0.0.1", 1)
    async with client(f"http://127.0.0.1:{port}/") as one:
        with pytest.raises(Unreachable, match=f"nothing answers at .*:{port}: .*`rstar up`"):
            await one.solve("?")


async def test_a_reply_of_another_shape_is_named(service: Service, client: Any) -> None:
    script = {"GET /searches/s1": [Reply(200, {"search_id": 1})]}
    async with service(script) as scripted, client(scripted.url) as one:
        with pytest.raises(ClientError, match="unexpected Search came back"):
            await one.get("s1")
    bad = {"GET /searches/s1/events": [Reply(200, event("trial", "?", "1-0"), STREAM)]}
    async with service(bad) as scripted, client(scripted.url) as one:
        with pytest.raises(ClientError, match="unexpected Event came back"):
            [entry async for entry in one.events("s1")]


def test_the_client_is_light() -> None:
    heavy = ("torch", "fastapi", "grpc", "redis", "services", "typer")
    code = f"import sys, rstar.client; sys.exit([m for m in {heavy} if m in sys.modules] or 0)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
