"""The PPM's process: load the model, if there is one, prove it, then open it to callers."""

from services.common import logs, rpc
from services.common.inference import model_server, watcher
from services.common.inference.admin import Admin
from services.common.inference.host import Host
from services.common.inference.keeper import Keeper
from services.common.inference.meters import ReloadMeters, exposed
from services.common.inference.serving import Serving
from services.common.pb.ppm.v1 import ppm_pb2_grpc as pb_grpc
from services.ppm.craft import craft
from services.ppm.scorer import Served
from services.ppm.servicer import ADMIN_NAME, NAME, AdminServicer, PpmServicer
from services.ppm.settings import PpmSettings

# Calls are short and wait for the engine together; those over this are refused by gRPC itself.
MAX_RPCS = 1024

log = logs.get(__name__)


async def serve(settings: PpmSettings) -> int:
    """Serve until a signal; returns the process's exit code."""
    server = rpc.Server((NAME, ADMIN_NAME), max_concurrent_rpcs=MAX_RPCS)
    serving = Serving[Served]()

    async def set_health(healthy: bool) -> None:
        for name in ("", NAME, ADMIN_NAME):
            await server.set_serving(healthy, name)

    host = Host(
        "ppm",
        settings.model,
        settings,
        craft(settings),
        serving,
        set_health,
        ReloadMeters("ppm"),
    )
    servicer = PpmServicer(settings, serving)
    pb_grpc.add_PpmServiceServicer_to_server(servicer, server.grpc)
    admin = AdminServicer(Admin(host, settings.admin_token))
    pb_grpc.add_AdminServiceServicer_to_server(admin, server.grpc)

    async def load() -> Keeper[Served]:
        if not settings.model:
            log.warning("no model", reason="RSTAR_PPM_MODEL is empty; searches go unguided")
            await server.set_serving(True)
            return Keeper(host, [])
        alias = await watcher.start(host, settings.model, may_lack=True)
        if host.current is None:
            servicer.lacks_model = True
            log.warning("no model", reason=f"{settings.model} points nowhere yet")
            await server.set_serving(True)
        return Keeper(host, [watcher.follow(host, alias, settings)] if alias else [])

    with exposed(settings.host, settings.metrics_port, lambda: server.serving):
        return await model_server.run(server, settings, load)
