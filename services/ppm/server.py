"""The PPM's process: load the model, if there is one, prove it, then open it to callers."""

import asyncio
import time

from services.common import logs, rpc
from services.common.inference import engine, model_server
from services.common.inference.engine import Engine
from services.common.models.errors import ModelError
from services.common.models.store import ModelStore
from services.common.pb.ppm.v1 import ppm_pb2_grpc as pb_grpc
from services.common.steps import Step
from services.ppm.asks import Ask
from services.ppm.scorer import Served, score
from services.ppm.servicer import NAME, PpmServicer
from services.ppm.settings import PpmSettings

# Calls are short and wait for the engine together; those over this are refused by gRPC itself.
MAX_RPCS = 1024

log = logs.get(__name__)


async def serve(settings: PpmSettings) -> int:
    """Serve until a signal; returns the process's exit code."""
    server = rpc.Server((NAME,), max_concurrent_rpcs=MAX_RPCS)
    servicer = PpmServicer(settings)
    pb_grpc.add_PpmServiceServicer_to_server(servicer, server.grpc)

    async def load() -> Engine | None:
        if not settings.model:
            log.warning("no model", reason="RSTAR_PPM_MODEL is empty; searches go unguided")
            await server.set_serving(True)
            return None
        served = await _load(settings)
        servicer.serve(served)
        for name in ("", NAME):
            await server.set_serving(True, name)
        return served.engine

    return await model_server.run(server, settings, load)


async def _load(settings: PpmSettings) -> Served:
    began = time.monotonic()
    store = ModelStore(settings.store)
    stored = await asyncio.to_thread(store.open, "ppm", settings.model)
    version, scale = stored.manifest.version, stored.manifest.scale
    if scale is None:
        raise ModelError(f"ppm {version!r}: its manifest has no scale")
    log.info("loading", model=version)
    running = await engine.start(settings, stored.path, runner="pooling")
    try:
        served = Served(version, scale, running)
        await score(served, Ask("What is 1 + 1?", ((Step("# Step 1: Add\nprint(1 + 1)"),),)))
    except BaseException:
        await running.stop()
        raise
    log.info(
        "serving",
        model=version,
        scale=scale,
        context_tokens=running.context_tokens,
        start_seconds=round(time.monotonic() - began, 1),
    )
    return served
