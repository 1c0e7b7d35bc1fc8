"""Start the sandbox service: `python -m services.sandbox [--require full]`."""

import argparse
import asyncio
import gc
import sys

import uvloop

from services.common import environment, logs, metrics, rpc, telemetry
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from services.common.tls import TlsError
from services.sandbox import linux
from services.sandbox.service import NAME, SandboxService
from services.sandbox.settings import SandboxSettings
from services.sandbox.warden import Warden

log = logs.get("services.sandbox")


async def serve(settings: SandboxSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    warden = Warden(settings)
    try:
        await warden.start()
        # Each call that runs or waits, and room for the others.
        calls = settings.workers + settings.max_queue + settings.max_sessions + 64
        server = rpc.Server((NAME,), max_concurrent_rpcs=calls)
        sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(
            SandboxService(warden, settings), server.grpc
        )
        port = await server.start(settings.host, settings.port, settings.tls)
        health = Health(server, warden.mode)
        warden.on_change(health.set)
        await health.set(warden.up)
        metrics.serve(settings)
        # What is here by now stays, and need not be gone through again and again.
        gc.collect()
        gc.freeze()
        log.info(
            "serving",
            address=f"{settings.host}:{port}",
            mode=warden.info.mode,
            isolation=" ".join(warden.info.isolation),
        )
        log.info("stopping", signal=await rpc.wait_for_stop_signal())
        await server.stop(settings.drain_seconds)
    finally:
        await warden.stop()


class Health:
    """Keeps what a health check says true: serving while every zygote is up.

    Args:
        server: whose health it is: of the process (""), of the service, and of the service under
            its mode, as in `rstar.sandbox.v1.SandboxService/fork-tree`, for who insists on one.
        mode: the mode.
    """

    def __init__(self, server: rpc.Server, mode: str) -> None:
        self._server = server
        self._names = ("", NAME, f"{NAME}/{mode}")
        self._last: asyncio.Task[None] | None = None

    def set(self, up: bool) -> "asyncio.Task[None]":
        """Say so from now on; the task is done once it is said."""
        self._last = asyncio.create_task(self._set(up, self._last))
        return self._last

    async def _set(self, up: bool, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        for name in self._names:
            await self._server.set_serving(up, name)


def main() -> int:
    """Run the service; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m services.sandbox", description=__doc__)
    parser.add_argument(
        "--require", choices=("any", "full"), help="full: refuse to start with less isolation"
    )
    chosen = {name: value for name, value in vars(parser.parse_args()).items() if value}
    settings = environment.read(SandboxSettings, **chosen)
    telemetry.configure("sandbox", settings)
    try:
        uvloop.run(serve(settings))
    except (linux.Unsupported, rpc.AddressInUse, TlsError) as error:
        log.critical("cannot start", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
