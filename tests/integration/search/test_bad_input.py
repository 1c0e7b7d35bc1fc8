"""Bad input over REST: the reply names the field and its limit."""

import json
import math
from typing import Any

import pytest

from tests.integration.search.conftest import StartRig

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROBLEM = {"problem": "What is 1 + 1?"}
JSON = {"Content-Type": "application/json"}

INVALID = [
    ({}, "problem"),
    ({"problem": ""}, "problem"),
    ({"problem": " \n"}, "problem"),
    ({"problem": "x" * 16_385}, "problem"),
    ({"problem": 5}, "problem"),
    ({"problem": "\ud800"}, "problem"),
    ({**PROBLEM, "effort": "high"}, "effort"),
    ({**PROBLEM, "budget": {"rollouts": 0}}, "budget.rollouts"),
    ({**PROBLEM, "budget": {"rollouts": -1}}, "budget.rollouts"),
    ({**PROBLEM, "budget": {"rollouts": 10_001}}, "budget.rollouts"),
    ({**PROBLEM, "budget": {"rollouts": "8"}}, "budget.rollouts"),
    ({**PROBLEM, "budget": {"rollouts": True}}, "budget.rollouts"),
    ({**PROBLEM, "budget": {"tokens": 0}}, "budget.tokens"),
    ({**PROBLEM, "budget": {"seconds": 0}}, "budget.seconds"),
    ({**PROBLEM, "budget": {"seconds": 3_601}}, "budget.seconds"),
    ({**PROBLEM, "budget": {"seconds": math.nan}}, "budget.seconds"),
    ({**PROBLEM, "budget": {"gold": 1}}, "budget.gold"),
    ({**PROBLEM, "budget": 5}, "budget"),
    ({**PROBLEM, "search": {"candidates": 65}}, "search.candidates"),
    ({**PROBLEM, "search": {"temperature": 2.5}}, "search.temperature"),
    ({**PROBLEM, "search": {"exploration": math.inf}}, "search.exploration"),
    ({**PROBLEM, "search": {"seed": -1}}, "search.seed"),
    ({**PROBLEM, "search": {"answer": "median"}}, "search.answer"),
    ({**PROBLEM, "search": None}, "search"),
    ({**PROBLEM, "stream": "yes"}, "stream"),
    ({**PROBLEM, "async": 1}, "async"),
    ({**PROBLEM, "stream": True, "async": True}, "body"),
]


async def test_bad_input_is_answered_with_the_field_and_its_limit(rig: StartRig) -> None:
    async with rig() as one:
        for body, field in INVALID:
            reply = await one.client.post("/solve", content=json.dumps(body), headers=JSON)
            problem = reply.json()
            assert reply.status_code == 422, (body, problem)
            assert reply.headers["content-type"] == "application/problem+json"
            assert [error["field"] for error in problem["errors"]] == [field], body
            assert all(error["limit"] for error in problem["errors"])
        assert one.policy.requests == []


async def test_what_is_no_request_is_answered_as_a_problem(rig: StartRig) -> None:
    async with rig(max_body_bytes=1024) as one:
        for call, status in [
            (one.client.post("/solve", content=b"{", headers=JSON), 422),
            (one.client.post("/solve", content=b"\xff\xfe", headers=JSON), 422),
            (one.client.post("/solve", content=b'"text"', headers=JSON), 422),
            (one.client.post("/solve", content=b"[" * 1000, headers=JSON), 400),
            (one.client.post("/solve", content=b" " * 1025, headers=JSON), 413),
            (one.client.post("/solve", content=_chunks(), headers=JSON), 413),
            (one.client.post("/solve", content=b"{}", headers={"Content-Type": "text/xml"}), 415),
            (one.client.post("/solve", content=b"{}"), 415),
            (one.client.post("/solve", json=PROBLEM, headers={"Accept": "image/png"}), 406),
            (one.client.put("/solve", json=PROBLEM), 405),
            (one.client.get("/searches/nothing"), 422),
            (one.client.get("/searches/" + "0" * 27), 404),
            (one.client.get("/solve"), 405),
            (one.client.get("/nowhere"), 404),
        ]:
            reply = await call
            problem = reply.json()
            assert reply.status_code == status, problem
            assert reply.headers["content-type"] == "application/problem+json"
            assert problem["status"] == status
            assert problem["detail"]


async def _chunks() -> Any:
    for _ in range(20):
        yield b" " * 100


async def test_methods_are_named_and_head_is_get_without_its_body(rig: StartRig) -> None:
    async with rig() as one:
        options = await one.client.options(f"/searches/{'0' * 27}")
        assert (options.status_code, options.headers["allow"]) == (
            204,
            "DELETE, GET, HEAD, OPTIONS",
        )
        refused = await one.client.post(f"/searches/{'0' * 27}", json={})
        assert refused.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
        head, get = await one.client.head("/health"), await one.client.get("/health")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
