"""Channels between services."""

import asyncio

from services.common import rpc
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from tests.support.scripted import serving
from tests.support.stalling_proxy import stalling_proxy

_SLOW_SECONDS = 0.7


class Echo(sandbox_pb2_grpc.SandboxServiceServicer):
    """Answers with the code."""

    async def Run(  # noqa: N802 - the name in the contract
        self, request: pb.RunRequest, context: rpc.Context
    ) -> pb.RunResponse:
        """Answer."""
        return pb.RunResponse(output=request.step.code)


async def test_a_server_that_is_slow_to_greet_is_waited_for() -> None:
    add = sandbox_pb2_grpc.add_SandboxServiceServicer_to_server
    async with serving(add, Echo()) as target:
        host, _, port = target.rpartition(":")
        with stalling_proxy((host, int(port))) as proxy:
            proxy.stall(after=0)
            asyncio.get_running_loop().call_later(_SLOW_SECONDS, proxy.release)
            async with rpc.channel(f"127.0.0.1:{proxy.port}") as channel:
                request = pb.RunRequest(step=pb.CodeStep(node_id="n", code="x = 1"))
                reply = await sandbox_pb2_grpc.SandboxServiceStub(channel).Run(request, timeout=20)
    assert proxy.stalled.is_set()
    assert reply.output == "x = 1"
