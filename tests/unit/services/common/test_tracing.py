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
from services.common import tracing
tracing.configure("x", "http://127.0.0.1:1", {share})
assert tracing.trace_id() == ""
with tracing.span("a", b=1):
    outer = tracing.trace_id()
    with tracing.span("c"):
        assert tracing.trace_id() == outer

    def apart():
        assert tracing.trace_id() == tracing.traceparent() == ""
        with tracing.span("d"):
            assert tracing.trace_id() == ""

    tracing.untraced().run(apart)
    assert tracing.trace_id() == outer
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
    assert "AssertionError" not in run(ON.format(share=share, length=length)).stderr


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(tracing.TracingError, match="extra `tracing`"):
        tracing.configure("x", "http://127.0.0.1:1", 1.0)
