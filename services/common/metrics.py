"""Prometheus metrics of a service that has no HTTP of its own: a port to read them from."""

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from pydantic import Field

from services.common import logs, rpc
from services.common.settings import ServiceSettings

log = logs.get(__name__)


class MetricsSettings(ServiceSettings):
    """Where metrics are read."""

    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of Prometheus metrics over HTTP; 0 takes a free one, none has none.",
    )


def serve(settings: MetricsSettings, registry: CollectorRegistry = REGISTRY) -> int | None:
    """Answer GET /metrics from a thread of its own until the process ends.

    Returns the port, None where none is asked for. rpc.AddressInUse where it is taken.
    """
    if settings.metrics_port is None:
        return None
    try:
        server, _ = start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        address = f"{settings.host}:{settings.metrics_port}"
        raise rpc.AddressInUse(f"cannot listen on {address}: {error}") from error
    port = int(server.server_port)
    log.info("metrics", url=f"http://{settings.host}:{port}/metrics")
    return port
