"""The REST API."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from services.search.access.keys import Limits
from services.search.front import Front
from services.search.page import site
from services.search.rest import docs, errors, keys, searches, solving, status
from services.search.rest.access import OPEN_PATHS, Admission
from services.search.rest.body_limit import BodyLimit
from services.search.rest.metrics import Metering
from services.search.rest.negotiation import Negotiation
from services.search.rest.openai import routes as openai
from services.search.rest.trace_header import TraceHeader
from services.search.settings import SearchSettings

_DESCRIPTION = """A small language model that reasons by searching over verified code steps.

Errors are problem details (RFC 9457) but below `/v1`, which speaks OpenAI's dialect."""


def create_app(front: Front, settings: SearchSettings) -> FastAPI:
    """The application over a front; the owner of its manager starts and closes that."""
    app = FastAPI(
        title="rStar",
        version=version("rstar"),
        description=_DESCRIPTION,
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
    )
    limits = Limits(settings.key_requests_per_minute, settings.key_searches)
    for router in (
        solving.router(front),
        searches.router(front),
        openai.router(front),
        keys.router(front, limits),
        status.router(front),
    ):
        app.include_router(router)
    site.install(app, reports=settings.reports)
    errors.install(app)
    # The last one added sees a request first.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Negotiation, api=app)
    app.add_middleware(Admission, guard=front.guard)
    app.add_middleware(TraceHeader)
    app.add_middleware(Metering, api=app)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = docs.finish(plain(), OPEN_PATHS)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it
    return app
