"""Whether the service lives, can work, and what it has done: for supervisors and scrapers."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from services.search.front import Front
from services.search.rest import docs


class Health(BaseModel):
    """Whether the process is alive."""

    healthy: bool


class DependencyState(BaseModel):
    """A dependency at its last check."""

    ready: bool
    detail: str
    circuits: dict[str, str] = Field(
        {},
        description="The circuit breaker of each of its replicas, by address: closed, open (it is "
        "left alone for a moment) or half_open.",
    )


class Readiness(BaseModel):
    """Whether searches can be run."""

    ready: bool
    dependencies: dict[str, DependencyState]


_READY = {"ready": True, "dependencies": {"redis": {"ready": True, "detail": ""}}}


def router(front: Front) -> APIRouter:
    """The operations over a front."""
    routes = APIRouter(tags=["status"])
    manager = front.manager

    @routes.get("/health", summary="Whether the process is alive", operation_id="health")
    async def health() -> Health:
        return Health(healthy=True)

    @routes.get(
        "/ready",
        response_model=Readiness,
        responses={
            **docs.example(200, _READY),
            503: {"model": Readiness, "description": "A dependency is missing, or it is stopping."},
        },
        summary="Whether searches can be run, dependency by dependency",
        operation_id="ready",
    )
    async def ready() -> Response:
        await manager.monitor.check()
        dependencies = {
            name: DependencyState(ready=one.ready, detail=one.detail, circuits=dict(one.circuits()))
            for name, one in manager.monitor.dependencies.items()
        }
        is_ready = manager.monitor.ready and not manager.draining
        report = Readiness(ready=is_ready, dependencies=dependencies)
        return JSONResponse(report.model_dump(), status_code=200 if is_ready else 503)

    @routes.get(
        "/metrics",
        summary="Metrics for Prometheus",
        operation_id="metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes
