"""Scripted policy, PPM and sandbox behind the real contracts, for tests of the search alone.

What answers stands in rstar.bench.scripted; here they also keep what they were asked.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from rstar.bench import scripted
from rstar.bench.scripted import ScriptedPpm, candidate
from rstar.stack.ports import free_ports
from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2
from services.common.pb.sandbox.v1 import sandbox_pb2

__all__ = [
    "PPM_SERVICE",
    "ScriptedPolicy",
    "ScriptedPpm",
    "ScriptedSandbox",
    "serving",
    "solution",
    "votes",
]

PPM_SERVICE = "rstar.ppm.v1.PpmService"

solution = candidate


def votes(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """Two steps; of four candidates three answer 2, in three ways of writing, and one 3."""
    if request.steps:
        return solution("# Step 2: print\nprint 2")
    answer = ["2", "2.0", "4/2", "3"][index % 4]
    return solution(f"# Step 1: count {index % 4}\nn = 2", f"# Step 2: print\nprint {answer}")


@dataclass
class ScriptedPolicy(scripted.ScriptedPolicy):
    """Answers with `reply(request, index)`; `requests` is what it was asked."""

    requests: list[policy_pb2.ProposeRequest] = field(default_factory=list)

    async def Propose(  # noqa: N802 - the name in the contract
        self, request: policy_pb2.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[policy_pb2.ProposeResponse]:
        """Send the scripted candidates."""
        self.requests.append(request)
        async with contextlib.aclosing(super().Propose(request, context)) as replies:
            async for reply in replies:
                yield reply


@dataclass
class ScriptedSandbox(scripted.ScriptedSandbox):
    """Prints what a step would; `runs` is the code of each run, its ancestors' before it."""

    runs: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, request: sandbox_pb2.RunRequest) -> sandbox_pb2.RunResponse:
        """What a step comes to."""
        reply = super().run(request)
        ancestors = (step.code for step in request.ancestors)
        self.runs.append((*ancestors, request.step.code))
        return reply


@contextlib.asynccontextmanager
async def serving(
    add: Callable[..., None], servicer: object, *names: str, port: int = 0
) -> AsyncIterator[str]:
    """A gRPC server of one servicer, healthy under "" and `names`; its target.

    On a port that the kernel gives to nobody: some tests close it and come back to it.
    """
    server = rpc.Server(names, max_concurrent_rpcs=1000)
    add(servicer, server.grpc)
    bound = await server.start("127.0.0.1", port or free_ports("127.0.0.1", 1)[0])
    for name in ("", *names):
        await server.set_serving(True, name)
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(0)
