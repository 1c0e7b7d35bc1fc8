"""Traces (OpenTelemetry): one a solve, through every service that it calls.

Off unless an endpoint is set, and then nothing of OpenTelemetry is imported: `span` and `trace_id`
return at once, channels and servers get no interceptors.

Most solves are not sampled, and they must cost nothing either. So whatever is done for one of
them runs with instrumentation suppressed (`unless_traced`): no span is made that nobody keeps, no
command of Redis is written out for one, no call carries a trace.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

_HEALTH = "grpc.health.v1.Health"
_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
_MANY = "RunMany"

_provider: Any = None
_tracer: Any = None


class TracingError(RuntimeError):
    """Tracing was asked for, and its libraries are not installed."""


def configure(service: str, endpoint: str, share: float) -> None:
    """Send this process's spans to a collector; call once, before channels and servers are made.

    Args:
        service: its name.
        endpoint: OTLP over gRPC, `http://host:4317` or, with TLS, `https://host:4317`; empty: off.
        share: of the traces that begin here, how many are kept, 0 to 1. They begin with requests
            that this process serves, never with what it does by itself. A trace that began
            elsewhere is kept as it was decided there.

    Raises:
        TracingError: the libraries are not installed.
    """
    global _provider, _tracer
    if not endpoint:
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased
    except ImportError as error:
        raise TracingError(f"tracing needs the extra `tracing`: {error}") from error
    _provider = TracerProvider(
        resource=Resource.create({"service.name": f"rstar-{service}"}),
        sampler=ParentBased(root=_sampler(share)),
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))
    _provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(_provider)
    _tracer = _provider.get_tracer("rstar")


def _sampler(share: float) -> Any:
    """Keeps a share of what begins with a request, and nothing that begins otherwise."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler, TraceIdRatioBased
    from opentelemetry.trace import SpanKind

    by_id = TraceIdRatioBased(share)

    class Requests(Sampler):
        def should_sample(self, *given: Any, **named: Any) -> Any:
            kind = named["kind"] if "kind" in named else given[3] if len(given) > 3 else None
            chosen = by_id if kind is SpanKind.SERVER else ALWAYS_OFF
            return chosen.should_sample(*given, **named)

        def get_description(self) -> str:
            return f"Requests({by_id.get_description()})"

    return Requests()


def shutdown() -> None:
    """Send what is left; waits for the collector a few seconds at most."""
    if _provider is not None:
        _provider.shutdown()


@contextlib.contextmanager
def span(name: str, **attributes: str | int | float | bool) -> Iterator[None]:
    """A span around a block; an exception that leaves the block is recorded in it."""
    if _tracer is None or _is_suppressed():
        yield
        return
    named = {f"rstar.{key}": value for key, value in attributes.items()}
    with _tracer.start_as_current_span(name, attributes=named):
        yield


@contextlib.contextmanager
def span_under(above: str, name: str, **attributes: str | int | float | bool) -> Iterator[None]:
    """A span below that of another process whose `traceparent` this is; none where it is empty."""
    if _tracer is None or not above:
        yield
        return
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    token = context.attach(TraceContextTextMapPropagator().extract({"traceparent": above}))
    try:
        with span(name, **attributes):
            yield
    finally:
        context.detach(token)


@contextlib.contextmanager
def unless_traced() -> Iterator[None]:
    """Let a block do without all instrumentation, unless the current trace is kept."""
    if _tracer is None or trace_id():
        yield
        return
    from opentelemetry import context

    token = context.attach(context.set_value(_suppression_key(), True))
    try:
        yield
    finally:
        context.detach(token)


def untraced() -> contextvars.Context:
    """The current context, in which nothing is traced, neither here nor by those whom it calls.

    For what is done for several traces at once: it must not end up in one of them, nor begin one.
    """
    context = contextvars.copy_context()
    if _tracer is not None:
        context.run(_leave_trace)
    return context


def _leave_trace() -> None:
    from opentelemetry import context, trace

    nowhere = trace.set_span_in_context(trace.INVALID_SPAN)
    # Never detached: this is in the context of a task of its own, which ends with it.
    context.attach(context.set_value(_suppression_key(), True, nowhere))


def _suppression_key() -> str:
    """What the instrumentations of gRPC, Redis and HTTP look for in the context."""
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

    key: str = _SUPPRESS_INSTRUMENTATION_KEY
    return key


def _is_suppressed() -> bool:
    from opentelemetry import context

    return bool(context.get_value(_suppression_key()))


def traceparent() -> str:
    """The current span, for another process, as W3C Trace Context writes it; empty if untraced."""
    if not trace_id():
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier["traceparent"]


def trace_id() -> str:
    """The current trace's id, 32 hexadecimal digits; empty where nothing is traced."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid and context.trace_flags.sampled else ""


def client_interceptors() -> list[Any]:
    """Interceptors of gRPC channels that carry the trace to the other side."""
    if _tracer is None:
        return []
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    interceptors: list[Any] = aio_client_interceptors(filter_=_traced_calls())
    return interceptors


def server_interceptors() -> list[Any]:
    """Interceptors of gRPC servers that go on with the caller's trace."""
    if _tracer is None:
        return []
    from opentelemetry.instrumentation.grpc import aio_server_interceptor

    return [aio_server_interceptor(filter_=_traced_calls())]


def _traced_calls() -> Any:
    """All but health checks and reflection, which would drown the rest, and calls that never end.

    RunMany holds runs of many traces, each of which goes on with its own: see `span_under`.
    """
    from opentelemetry.instrumentation.grpc import filters

    left_out = (
        filters.service_name(_HEALTH),
        filters.service_name(_REFLECTION),
        filters.method_name(_MANY),
    )
    return filters.negate(filters.any_of(*left_out))


def instrument_app(app: Any) -> None:
    """Begin a trace, or go on with the caller's (traceparent), at each request of a FastAPI app."""
    if _tracer is None:
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app, excluded_urls="health,ready,metrics,static", exclude_spans=["receive", "send"]
    )


def instrument_redis() -> None:
    """A span for each Redis command of this process; call before connections are made."""
    if _tracer is None:
        return
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    RedisInstrumentor().instrument()
