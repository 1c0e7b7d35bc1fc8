"""Scripted models that take time: `python -m tests.support.paced_models policy PORT SECONDS`."""

import asyncio
import sys
from collections.abc import AsyncIterator

from rstar.bench import scripted
from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc


def short(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """Two steps, no two alike; of eight solutions seven answer 2, in three ways of writing.

    So many that no scores, which are spread at random, let the eighth win.
    """
    number = request.sampling.seed + index
    value = ("2", "2.0", "'4/2'", "2", "2.0", "'4/2'", "2", "3")[number % 8]
    ends = [f"# Step {len(request.steps) + 1}: print, variant {number}\nprint({value})"]
    begins = [] if request.steps else [f"# Step 1: count {number}\nn = {number}"]
    return scripted.candidate(*begins, *ends)


class Paced(policy_pb2_grpc.PolicyServiceServicer):
    """Each candidate takes a while, as a model's does; those of one call come one by one."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @rpc.streaming
    async def Propose(  # noqa: N802 - the name in the contract
        self, request: policy_pb2.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[policy_pb2.ProposeResponse]:
        """Send the candidates."""
        for index in range(request.count):
            await asyncio.sleep(self._seconds)
            reply = short(request, index)
            reply.index = index
            reply.model_version = "paced"
            reply.answer_source = policy_pb2.ANSWER_SOURCE_OUTPUT
            yield reply


async def serve(kind: str, port: int, seconds: float) -> None:
    """Serve until SIGTERM."""
    server = rpc.Server((), max_concurrent_rpcs=1000)
    if kind == "policy":
        name = policy_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(Paced(seconds), server.grpc)
    else:
        name = ppm_pb2.DESCRIPTOR.services_by_name["PpmService"].full_name
        servicer = scripted.ScriptedPpm(scripted.spread)
        ppm_pb2_grpc.add_PpmServiceServicer_to_server(servicer, server.grpc)
    await server.start("127.0.0.1", port)
    for each in ("", name):
        await server.set_serving(True, each)
    await rpc.wait_for_stop_signal()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
