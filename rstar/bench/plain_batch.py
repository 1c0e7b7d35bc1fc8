"""An engine kept full: candidates drawn again with nobody who waits for any of them."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence

from rstar.bench.recorder import Drawn
from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc


def again(one: Drawn) -> policy_pb2.ProposeRequest:
    """The call that draws one candidate alone: same prompt, limits and seed, so same length."""
    request = policy_pb2.ProposeRequest()
    request.CopyFrom(one.request)
    request.count = 1
    request.sampling.seed += one.index
    return request


async def draw_all(target: str, known: Sequence[Drawn], width: int, seconds: float) -> list[Drawn]:
    """Draw candidates again and again for a while, then finish those under way.

    Args:
        target: the policy.
        known: what to draw, in this order, over and over.
        width: candidates in flight; more than the engine computes at once, so that it never waits.
        seconds: how long new ones are begun.

    Raises:
        grpc.aio.AioRpcError: the policy failed.
        ValueError: there is nothing to draw.
    """
    if not known:
        raise ValueError("there are no candidates to draw again")
    drawn: list[Drawn] = []
    end = time.monotonic() + seconds
    turns = itertools.cycle(known)
    async with rpc.channel(target) as channel, asyncio.TaskGroup() as group:
        stub = policy_pb2_grpc.PolicyServiceStub(channel)
        for _ in range(width):
            group.create_task(_keep_drawing(stub, turns, end, drawn))
    return drawn


async def _keep_drawing(
    stub: "policy_pb2_grpc.PolicyServiceAsyncStub",
    turns: Iterator[Drawn],
    end: float,
    drawn: list[Drawn],
) -> None:
    while (begun := time.monotonic()) < end:
        request = again(next(turns))
        drawn += [
            Drawn(request, 0, reply.tokens, begun, time.monotonic())
            async for reply in stub.Propose(request)
        ]
