"""The policy's process: load the model, prove that it can write, then open it to callers."""

from services.common import rpc
from services.common.inference import model_server, watcher
from services.common.inference.admin import Admin
from services.common.inference.host import Host
from services.common.inference.keeper import Keeper
from services.common.inference.meters import ReloadMeters, exposed
from services.common.inference.serving import Serving
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy.craft import craft
from services.policy.sampler import Served
from services.policy.servicer import ADMIN_NAME, NAME, AdminServicer, PolicyServicer
from services.policy.settings import PolicySettings
from services.policy.trials import Trials

# Room for calls that are refused or only ask for Info or health.
SPARE_RPCS = 64


async def serve(settings: PolicySettings) -> int:
    """Serve until a signal; returns the process's exit code."""
    server = rpc.Server((NAME, ADMIN_NAME), max_concurrent_rpcs=settings.max_in_flight + SPARE_RPCS)
    serving = Serving[Served]()

    async def set_health(healthy: bool) -> None:
        for name in ("", NAME, ADMIN_NAME):
            await server.set_serving(healthy, name)

    host = Host(
        "policy",
        settings.model,
        settings,
        craft(settings),
        serving,
        set_health,
        ReloadMeters("policy"),
    )
    servicer = PolicyServicer(settings, serving)
    pb_grpc.add_PolicyServiceServicer_to_server(servicer, server.grpc)
    admin = AdminServicer(Admin(host, settings.admin_token))
    pb_grpc.add_AdminServiceServicer_to_server(admin, server.grpc)

    async def load() -> Keeper[Served]:
        alias = await watcher.start(host, settings.model)
        followers = [Trials(host, serving, settings).run()]
        if alias is not None:
            followers.append(watcher.follow(host, alias, settings))
        return Keeper(host, followers)

    with exposed(settings.host, settings.metrics_port, lambda: server.serving):
        return await model_server.run(server, settings, load)
