"""A collector of traces, at the edge: keeps what services send it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.common import rpc

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
