"""Prometheus metrics of a served model: which version, how often it was exchanged, at what cost."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    make_wsgi_app,
    start_http_server,
)

from services.common import rpc

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


Wish = Literal["setting", "admin"]
"""Whose version is to be served: that of the setting, mostly an alias, or the admin's."""


class Alarm:
    """A gauge at 1 for as long as any wish is not granted: one wish says nothing of the other."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._raised: set[Wish] = set()

    def set(self, wish: Wish, *, failing: bool) -> None:
        """Raise the alarm for a wish, or end it."""
        (self._raised.add if failing else self._raised.discard)(wish)
        self._gauge.set(1 if self._raised else 0)


class ReloadMeters:
    """The metrics `rstar_<service>_...` of one service's model."""

    def __init__(self, service: str, registry: CollectorRegistry = REGISTRY) -> None:
        prefix = f"rstar_{service}"
        self.reloads = Counter(
            f"{prefix}_reloads_total",
            "Models loaded after the start, by how: in_place, second_engine, restart.",
            ["how"],
            registry=registry,
        )
        self.failures = Counter(
            f"{prefix}_reload_failures_total",
            "Versions that could not be loaded; the version before them is still served.",
            registry=registry,
        )
        self.failing = Alarm(
            Gauge(
                f"{prefix}_reload_failing",
                "1 while the version that should be served is not, because it cannot be loaded.",
                registry=registry,
            )
        )
        self.pause = Histogram(
            f"{prefix}_reload_pause_seconds",
            "How long new work waited for an exchange.",
            buckets=_PAUSES,
            registry=registry,
        )
        self.interrupted = Counter(
            f"{prefix}_reload_interrupted_total",
            "Pieces of work that an exchange began again, or ended where they were pinned.",
            registry=registry,
        )
        self.version = Gauge(
            f"{prefix}_model_info",
            "1 for each version that is served now, by its role: main or beside.",
            ["version", "role"],
            registry=registry,
        )

    def serve(self, main: str | None, beside: list[str]) -> None:
        """Say what is served now."""
        self.version.clear()
        if main is not None:
            self.version.labels(main, "main").set(1)
        for version in beside:
            self.version.labels(version, "beside").set(1)


@contextlib.contextmanager
def exposed(
    host: str, port: int, ready: Callable[[], bool], registry: CollectorRegistry = REGISTRY
) -> Iterator[None]:
    """Serve the metrics over HTTP while the block runs; nothing for port 0.

    `GET /ready` is 200 or 503 by `ready`: for whoever cannot ask the gRPC health, such as a kubelet
    without a client certificate.

    Raises:
        rpc.AddressInUse: the address is taken.
    """
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise rpc.AddressInUse(f"cannot serve metrics on {host}:{port}: {error}") from error
    server.set_app(_with_readiness(make_wsgi_app(registry), ready))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_readiness(metrics: "WSGIApplication", ready: Callable[[], bool]) -> "WSGIApplication":
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/ready":
            # As OpenMetrics, which Prometheus would rather have, the engine's names would lose the
            # colon that they are known by.
            return metrics({**environ, "HTTP_ACCEPT": "text/plain"}, start_response)
        status = "200 OK" if ready() else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain"), ("Cache-Control", "no-store")])
        return [status.encode()]

    return app
