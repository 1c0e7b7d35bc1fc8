"""What a service process tells about itself: its log and its traces."""

import sys

from services.common import logs, tracing
from services.common.settings import ServiceSettings


def configure(service: str, settings: ServiceSettings) -> None:
    """Set up logs and traces as the settings say; call first thing, once.

    Ends the process where traces are asked for and cannot be made.
    """
    logs.configure(
        service, settings.log_level, settings.log_format, quotes_errors=settings.log_problems
    )
    try:
        tracing.configure(service, settings.trace_endpoint, settings.trace_share)
    except tracing.TracingError as error:
        sys.exit(str(error))
