"""Structured logs on standard error, as console lines or JSON.

Problem texts and code do not go into logs unless asked: they may be private.
"""

import logging
import sys
import traceback
from typing import Literal

import structlog

from services.common import error_places, tracing


def configure(
    service: str,
    level: str = "info",
    form: Literal["console", "json"] = "console",
    *,
    quotes_errors: bool = True,
) -> None:
    """Route structlog and the standard library's logging to standard error.

    Every line carries `service`. Without `quotes_errors` a traceback names the types of the errors,
    not what they say, which may quote a request. Call once, at process start.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_whole if quotes_errors else _place),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def _whole(exc_info: structlog.typing.ExcInfo) -> str:
    return "".join(traceback.format_exception(*exc_info)).rstrip()


def _place(exc_info: structlog.typing.ExcInfo) -> str:
    return error_places.describe(exc_info[1])


def _with_trace(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if trace := tracing.trace_id():
        event["trace_id"] = trace
    return event


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; `name` is its `__name__`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
