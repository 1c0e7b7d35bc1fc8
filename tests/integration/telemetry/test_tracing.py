"""One trace from POST /solve through the processes that it needs, as a collector receives it."""

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.common import rpc
from tests.support.fleet import running

SERVICES = ("search", "sandbox")
PATIENCE_SECONDS = 30


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent, by service."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.news = asyncio.Event()

    async def Export(  # noqa: N802 - the name in the contract
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for group in request.resource_spans:
            (name,) = [
                a.value.string_value for a in group.resource.attributes if a.key == "service.name"
            ]
            self.spans += [(name, span) for scope in group.scope_spans for span in scope.spans]
        self.news.set()
        return trace_service_pb2.ExportTraceServiceResponse()

    async def trace(self, trace_id: str, wanted: set[str]) -> dict[str, list[Span]]:
        """The spans of a trace by service, once all services wanted have sent some."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found: dict[str, list[Span]] = {}
                for service, span in self.spans:
                    if span.trace_id.hex() == trace_id:
                        found.setdefault(service, []).append(span)
                if wanted <= set(found):
                    return found
                self.news.clear()
                await self.news.wait()


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    """A collector, and its endpoint."""
    collector = Collector()
    server = rpc.Server((), max_concurrent_rpcs=16)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server.grpc)
    port = await server.start("127.0.0.1", 0)
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_a_solve_is_one_trace_through_search_redis_and_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace_id = secrets.token_hex(16)
    async with collecting() as (collector, endpoint):
        for service in SERVICES:
            monkeypatch.setenv(f"RSTAR_{service.upper()}_TRACE_ENDPOINT", endpoint)
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
                assert response.status_code == 200, response.text
                assert response.headers["X-Trace-Id"] == trace_id
                assert response.json()["trace_id"] == trace_id
                assert refused.status_code == 422
                assert refused.json()["trace_id"] == refused.headers["X-Trace-Id"] != trace_id
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
    assert not [span for _, span in collector.spans if "RunMany" in span.name]
    assert not [span for _, span in collector.spans if "Health" in span.name]
