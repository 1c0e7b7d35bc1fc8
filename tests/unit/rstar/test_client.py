"""The client against a service over real HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from rstar.client import ApiError, Client, ClientError, Progress, Solution, Unreachable
from rstar.stack.ports import free_ports

Service = Callable[..., Any]
EVENTS = "text/event-stream"
REFUSAL = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "budget.tokens: at least 1",
    "errors": [{"field": "budget.tokens", "limit": "at least 1"}],
}
MISSING = {
    "title": "Service Unavailable",
    "status": 503,
    "detail": "policy: connection refused",
    "dependency": "policy",
}


async def test_solves(service: Service) -> None:
    async with service() as scripted, Client(scripted.url) as client:
        solution = await client.solve("6 * 7?", {"tokens": 9}, {"seed": 1})
    assert (solution.answer, solution.stop_reason) == ("42", "confident")
    assert scripted.requests == [
        {"problem": "6 * 7?", "budget": {"tokens": 9}, "search": {"seed": 1}}
    ]


async def test_streams_progress_then_the_solution(service: Service, streamed: str) -> None:
    async with service(body=streamed, kind=EVENTS) as scripted, Client(scripted.url) as client:
        events = [event async for event in client.stream("6 * 7?")]
    assert [type(event) for event in events] == [Progress, Solution]
    assert scripted.requests[0]["stream"] is True


@pytest.mark.parametrize(
    ("refusal", "line"),
    [
        (REFUSAL, "422 Unprocessable Content: budget.tokens: at least 1"),
        (MISSING, "503 Service Unavailable: policy: connection refused"),
    ],
)
async def test_a_refusal_is_one_clear_line(
    service: Service, refusal: dict[str, Any], line: str
) -> None:
    kind = "application/problem+json"
    status = refusal["status"]
    async with service(status, refusal, kind) as scripted, Client(scripted.url) as client:
        with pytest.raises(ApiError) as whole:
            await client.solve("?")
        with pytest.raises(ApiError) as piecewise:
            await anext(client.stream("?"))
    assert str(whole.value) == str(piecewise.value) == line


async def test_an_error_in_the_stream_is_raised(service: Service) -> None:
    body = 'event: error\ndata: {"title": "Gone",\ndata: "status": 503}\n\n'
    async with service(body=body, kind=EVENTS) as scripted, Client(scripted.url) as client:
        with pytest.raises(ApiError, match="503 Gone"):
            await anext(client.stream("?"))


async def test_an_error_that_is_no_problem_json_is_still_told(service: Service) -> None:
    page = (502, "<html>bad gateway", "text/html")
    async with service(*page) as scripted, Client(scripted.url) as client:
        with pytest.raises(ApiError, match="502 Scripted: <html>bad gateway"):
            await client.solve("?")


async def test_where_nothing_listens_the_way_to_start_it_is_told() -> None:
    [port] = free_ports("127.0.0.1", 1)
    async with Client(f"http://127.0.0.1:{port}/") as client:
        with pytest.raises(Unreachable, match=f"nothing answers at .*:{port}: .*`rstar up`"):
            await client.solve("?")


async def test_a_stream_without_its_end_is_an_error(service: Service) -> None:
    body = ": hello\n\n"
    async with service(body=body, kind=EVENTS) as scripted, Client(scripted.url) as client:
        with pytest.raises(Unreachable, match="without a solution"):
            await anext(client.stream("?"))


async def test_a_reply_of_another_shape_is_named(service: Service) -> None:
    async with service(body={"search_id": 1}) as scripted, Client(scripted.url) as client:
        with pytest.raises(ClientError, match="unexpected Solution"):
            await client.solve("?")
