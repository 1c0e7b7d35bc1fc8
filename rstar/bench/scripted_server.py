"""`python -m rstar.bench.scripted_server policy|ppm|sandbox PORT`: one scripted service."""

import argparse
import asyncio
import sys
from collections.abc import Callable

from rstar.bench import scripted
from services.common import logs, rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc
from services.common.pb.sandbox.v1 import sandbox_pb2, sandbox_pb2_grpc

_RPCS = 10_000

Add = Callable[[rpc.Server], None]


def _policy(server: rpc.Server) -> None:
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(scripted.ScriptedPolicy(), server.grpc)


def _ppm(server: rpc.Server) -> None:
    servicer = scripted.ScriptedPpm(scripted.spread)
    ppm_pb2_grpc.add_PpmServiceServicer_to_server(servicer, server.grpc)


def _sandbox(server: rpc.Server) -> None:
    sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(scripted.ScriptedSandbox(), server.grpc)


SERVICES: dict[str, tuple[str, Add]] = {
    "policy": (policy_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name, _policy),
    "ppm": (ppm_pb2.DESCRIPTOR.services_by_name["PpmService"].full_name, _ppm),
    "sandbox": (sandbox_pb2.DESCRIPTOR.services_by_name["SandboxService"].full_name, _sandbox),
}
"""The full name of each service that can be served, and what adds it to a server."""


async def serve(kind: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. rpc.AddressInUse where the port is taken."""
    name, add = SERVICES[kind]
    server = rpc.Server((name,), max_concurrent_rpcs=_RPCS)
    add(server)
    bound = await server.start("127.0.0.1", port)
    for each in ("", name):
        await server.set_serving(True, each)
    logs.get(__name__).info("serving", service=kind, address=f"127.0.0.1:{bound}")
    await rpc.wait_for_stop_signal()
    await server.stop(0)


def main() -> int:
    """Run one service; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rstar.bench.scripted_server")
    parser.add_argument("service", choices=sorted(SERVICES))
    parser.add_argument("port", type=int, help="0 takes a free one")
    chosen = parser.parse_args()
    logs.configure("scripted", "info", "console")
    try:
        asyncio.run(serve(chosen.service, chosen.port))
    except rpc.AddressInUse as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
