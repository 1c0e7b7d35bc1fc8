import subprocess
import sys

import pytest

from services.common import tracing

OFF = """
import sys
from services.common import logs, rpc, tracing
tracing.configure("x", "", 1.0)
with tracing.span("a", b=1):
    assert tracing.trace_id() == ""
assert tracing.client_interceptors() == tracing.server_interceptors() == []
tracing.shutdown()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""

ON = """
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from services.common import tracing
tracing.configure("x", "http://127.0.0.1:1", {share})
assert tracing.trace_id() == ""
with tracing.span("by itself"):
    assert tracing.trace_id() == "", "only a request begins a trace"
served = trace.get_tracer("test").start_as_current_span("request", kind=trace.SpanKind.SERVER)
with served, tracing.span("a", b=1):
    outer = tracing.trace_id()
    with tracing.span("c"):
        assert tracing.trace_id() == outer

    def apart():
        assert not is_instrumentation_enabled()
        assert tracing.trace_id() == tracing.traceparent() == ""
        with tracing.span("d"):
            assert tracing.trace_id() == ""

    tracing.untraced().run(apart)
    with tracing.unless_traced():
        assert is_instrumentation_enabled() == bool(outer)
        before = trace.get_current_span()
        with tracing.span("e"):
            assert tracing.trace_id() == outer
            assert (trace.get_current_span() is before) == (not outer), "no span that nobody keeps"
    assert is_instrumentation_enabled()
    assert tracing.trace_id() == outer
with tracing.unless_traced():
    assert not is_instrumentation_enabled()
assert len(outer) == {length}
assert len(tracing.client_interceptors()) == 4
assert len(tracing.server_interceptors()) == 1
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: OpenTelemetry's provider is set once in a process.
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_nothing_is_imported_while_tracing_is_off() -> None:
    assert run(OFF).stderr == ""


@pytest.mark.parametrize(("share", "length"), [(1.0, 32), (0.0, 0)])
def test_a_span_has_its_traces_id_where_it_is_sampled(share: float, length: int) -> None:
    done = run(ON.format(share=share, length=length))
    assert done.returncode == 0, done.stderr


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(tracing.TracingError, match="extra `tracing`"):
        tracing.configure("x", "http://127.0.0.1:1", 1.0)
