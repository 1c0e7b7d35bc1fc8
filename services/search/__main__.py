"""`python -m services.search`: REST and gRPC front ends over one manager of searches."""

import asyncio
import contextlib
import socket
import sys

import uvicorn

from services.common import environment, logs, rpc, telemetry, tracing
from services.common.grading.grader import Grader
from services.common.pb.search.v1 import search_pb2_grpc
from services.common.tls import TlsError
from services.search.front import open_front
from services.search.manager import Manager
from services.search.rest.app import create_app
from services.search.rpc_server import SERVICE, SearchServicer
from services.search.settings import BadSettings, SearchSettings

log = logs.get(__name__)

# After a drain every caller has been answered; this is for the last bytes.
_LAST_REPLIES_SECONDS = 2


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; rpc.AddressInUse where the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise rpc.AddressInUse(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


class _Server(uvicorn.Server):
    """Leaves signals to the process's own handler, which also stops the gRPC server."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # uvicorn's signature
        """Capture none."""
        yield


async def serve(settings: SearchSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    listener = listen(settings.host, settings.port)
    async with Grader(workers=settings.grader_workers) as grader:
        await _serve(settings, listener, Manager(settings, grader))


async def _serve(settings: SearchSettings, listener: socket.socket, manager: Manager) -> None:
    grpc_server = rpc.Server((SERVICE,), max_concurrent_rpcs=2 * settings.max_searches)
    front = open_front(manager, settings)
    search_pb2_grpc.add_SearchServiceServicer_to_server(SearchServicer(front), grpc_server.grpc)
    grpc_port = await grpc_server.start(settings.host, settings.grpc_port, settings.tls)
    await manager.start()
    app = create_app(front, settings)
    tracing.instrument_app(app)
    rest = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_LAST_REPLIES_SECONDS,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
    )
    serving = asyncio.create_task(rest.serve(sockets=[listener]))
    for name in ("", SERVICE):
        await grpc_server.set_serving(True, name)
    log.info("serving", rest=listener.getsockname()[1], grpc=grpc_port)
    stopped = asyncio.create_task(rpc.wait_for_stop_signal())
    await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping", drain_seconds=settings.drain_seconds)
    for name in ("", SERVICE):
        await grpc_server.set_serving(False, name)
    # Still listening meanwhile: whoever balances load sees from /ready that it is leaving.
    await manager.drain(settings.drain_seconds)
    rest.should_exit = True
    await asyncio.gather(serving, grpc_server.stop(_LAST_REPLIES_SECONDS))
    await manager.close()


def main() -> None:
    """Run the service."""
    settings = environment.read(SearchSettings)
    telemetry.configure("search", settings)
    tracing.instrument_redis()
    try:
        asyncio.run(serve(settings))
    except BadSettings as error:
        environment.refuse([str(error)])
    except (rpc.AddressInUse, TlsError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
