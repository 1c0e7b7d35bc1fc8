"""What a service process tells about itself: its log and its traces."""

import sys
from typing import Final

from pydantic_settings import BaseSettings

from services.common import environment, logs, tracing
from services.common.settings import ServiceSettings

_BEGINS: Final = "search"

log = logs.get(__name__)


def configure(service: str, settings: ServiceSettings) -> None:
    """Set up logs and traces as the settings say; call first thing, once.

    Ends the process where traces are asked for and cannot be made.
    """
    logs.configure(
        service, settings.log_level, settings.log_format, quotes_errors=settings.log_problems
    )
    warn_of_unknown(settings)
    try:
        # What the search leaves out it sends without a trace: nobody else may begin one for it.
        share = settings.trace_share if service == _BEGINS else 0.0
        tracing.configure(service, settings.trace_endpoint, share)
    except tracing.TracingError as error:
        sys.exit(str(error))


def warn_of_unknown(settings: BaseSettings) -> None:
    """Log each variable of the environment that looks like a setting of these and is none."""
    for variable, near in environment.unknown(type(settings)).items():
        hint = {"meant": near} if near else {}
        log.warning("unknown setting, ignored", variable=variable, **hint)
