"""Settings that every service has; each service adds its own in its settings.py.

A setting `field` of service `x` is read from the environment variable RSTAR_X_FIELD.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from services.common.tls import ServerTls, server_tls


class ServiceSettings(BaseSettings):
    """Where a service listens and how it logs."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people or, as JSON, for machines."
    )
    log_problems: bool = Field(
        False,
        description="Let problem text, answers and code into log lines: those of the solution into "
        "the one line of a search, and into tracebacks what unexpected errors say, which may quote "
        "them. Without it, tracebacks name the types of errors alone.",
    )
    drain_seconds: float = Field(
        10.0, gt=0, le=600, description="How long a stopping service finishes what it has begun."
    )
    trace_endpoint: str = Field(
        "",
        description="Collector of traces, OTLP over gRPC: http://host:4317, or https:// with TLS; "
        "empty for none.",
    )
    trace_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the solves that are traced, where their caller has not decided it: "
        "the search does, and the other services follow.",
    )
    tls_cert: Path | None = Field(
        None, description="Certificate chain (PEM) to serve TLS with; none serves in the clear."
    )
    tls_key: Path | None = Field(None, description="Private key (PEM) of the certificate.")
    tls_client_ca: Path | None = Field(
        None, description="Authorities (PEM) of client certificates; gRPC callers must show one."
    )

    @property
    def tls(self) -> ServerTls | None:
        """How to serve TLS; None where no certificate is given."""
        return server_tls(self.tls_cert, self.tls_key, self.tls_client_ca)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        server_tls(self.tls_cert, self.tls_key, self.tls_client_ca)
        return self
