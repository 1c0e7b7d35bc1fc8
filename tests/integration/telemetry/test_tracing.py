"""One trace from POST /solve through the processes that it needs, as a collector receives it."""

import json
import secrets
import tempfile
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from services.common.pb.search.v1 import search_pb2, search_pb2_grpc
from tests.support.collector import collecting
from tests.support.fleet import running, until

SERVICES = ("search", "sandbox")


async def refusal(target: str, trace_id: str) -> grpc.aio.AioRpcError:
    """The error of a call within a trace."""
    above = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    async with grpc.aio.insecure_channel(target) as channel:
        stub, metadata = search_pb2_grpc.SearchServiceStub(channel), (("traceparent", above),)
        replies = aiter(stub.Solve(search_pb2.SolveRequest(), metadata=metadata, timeout=60))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await anext(replies)
    return raised.value


async def test_a_solve_is_one_trace_through_search_redis_and_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace_id = secrets.token_hex(16)
    async with collecting() as (collector, endpoint):
        for service in SERVICES:
            monkeypatch.setenv(f"RSTAR_{service.upper()}_TRACE_ENDPOINT", endpoint)
            monkeypatch.setenv(f"RSTAR_{service.upper()}_TRACE_SHARE", "1")
        with tempfile.TemporaryDirectory(prefix="rstar-") as folder:
            async with running(Path(folder), replicas=1, think_seconds=0.0) as fleet:
                (replica,) = fleet.replicas
                async with httpx.AsyncClient(base_url=replica.url, timeout=60) as client:
                    response = await client.post(
                        "/solve",
                        json={"problem": "What is 1 + 1?", "budget": {"rollouts": 4}},
                        headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"},
                    )
                    refused = await client.post("/solve", json={"problem": ""})
                called = await refusal(replica.target, trace_id)
                assert response.status_code == 200, response.text
                assert response.headers["X-Trace-Id"] == trace_id
                assert response.json()["trace_id"] == trace_id
                assert refused.status_code == 422
                assert refused.json()["trace_id"] == refused.headers["X-Trace-Id"] != trace_id
                assert ("x-trace-id", trace_id) in tuple(called.trailing_metadata() or ())
                spans = await collector.trace(trace_id, {"rstar-search", "rstar-sandbox"})
    names = {span.name for span in spans["rstar-search"]}
    assert "POST /solve" in names
    assert any("PolicyService/Propose" in name for name in names)
    assert any(name.startswith("EVALSHA") or name == "EVAL" for name in names), names
    trials = [span for span in spans["rstar-search"] if span.name == "trial"]
    for span in trials:
        told = {attribute.key for attribute in span.attributes}
        assert {"rstar.search", "rstar.trial", "rstar.node"} <= told
    assert trials
    runs = [span for span in spans["rstar-sandbox"] if span.name == "run"]
    assert runs
    assert {span.parent_span_id for span in runs} <= {span.span_id for span in trials}
    # Calls for several searches are in the trace of none: their parts name their own.
    assert not [span for _, span in collector.spans if "RunMany" in span.name]
    assert not [span for _, span in collector.spans if "PpmService/Score" in span.name]
    assert not [span for _, span in collector.spans if "Health" in span.name]


async def test_a_solve_that_is_not_kept_leaves_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting() as (collector, endpoint):
        for service in SERVICES:
            monkeypatch.setenv(f"RSTAR_{service.upper()}_TRACE_ENDPOINT", endpoint)
            # What the search does not keep, no other service begins by itself.
            share = "0" if service == "search" else "1"
            monkeypatch.setenv(f"RSTAR_{service.upper()}_TRACE_SHARE", share)
        with tempfile.TemporaryDirectory(prefix="rstar-") as folder:
            async with running(Path(folder), replicas=1, think_seconds=0.0) as fleet:
                (replica,) = fleet.replicas
                body = {"problem": "What is 1 + 1?", "budget": {"rollouts": 4}}
                async with httpx.AsyncClient(base_url=replica.url, timeout=60) as client:
                    response = await client.post("/solve", json=body)
                assert response.status_code == 200, response.text
                assert "X-Trace-Id" not in response.headers
            # Services send what they still have as they end.
            assert collector.spans == []


async def test_who_takes_a_search_over_goes_on_with_its_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace_id = secrets.token_hex(16)
    shape = {"lease_seconds": 1.0, "adoption_seconds": 0.2, "log_format": "json"}
    async with collecting() as (collector, endpoint):
        monkeypatch.setenv("RSTAR_SEARCH_TRACE_ENDPOINT", endpoint)
        with tempfile.TemporaryDirectory(prefix="rstar-") as folder:
            async with (
                running(Path(folder), replicas=2, think_seconds=0.05, **shape) as fleet,
                httpx.AsyncClient(timeout=60) as client,
            ):
                first, second = fleet.replicas
                begun = await client.post(
                    f"{first.url}/solve",
                    json={"problem": "What is 1 + 1?", "budget": {"rollouts": 32}, "async": True},
                    headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"},
                )
                assert begun.status_code == 202, begun.text
                place = f"{second.url}{begun.headers['location']}"

                async def look() -> dict[str, Any]:
                    found: dict[str, Any] = (await client.get(place)).json()
                    return found

                async def is_under_way() -> bool:
                    return bool((await look())["usage"]["rollouts"])

                async def is_finished() -> bool:
                    return (await look())["status"] == "finished"

                await until(is_under_way)
                await first.kill()
                await until(is_finished, 60)
                assert (await look())["solution"]["trace_id"] == trace_id
                lines = [
                    json.loads(line) for line in second.said().splitlines() if line.startswith("{")
                ]
        found = {
            span.name
            for _, span in collector.spans
            if span.trace_id.hex() == trace_id and span.name.startswith("adopt")
        }
    told = {line["event"] for line in lines if line.get("trace_id") == trace_id}
    assert {"search adopted", "search finished"} <= told
    assert found == {"adoption", "adopted search"}
