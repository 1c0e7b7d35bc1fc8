"""Settings that every service has; each service adds its own in its settings.py.

A setting `field` of service `x` is read from the environment variable RSTAR_X_FIELD.
"""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


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
    drain_seconds: float = Field(
        10.0, gt=0, le=600, description="How long a stopping service finishes what it has begun."
    )
