"""Scores of one PPM replica: what all searches ask in the same moment goes in one call.

A call costs both sides what many scores cost, whatever it holds.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from services.common import tracing
from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.pb.ppm.v1 import ppm_pb2_grpc

# What goes together in one call at most: far below what a PPM takes, and what gRPC does.
_MOST_SOLUTIONS: Final = 64
_MOST_BYTES: Final = 1024 * 1024
# One of them is at fault, or they are too many together.
_APART: Final = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE)


@dataclass(eq=False, slots=True)
class _Asked:
    """A request that waits for its scores.

    Attributes:
        request: what is asked.
        timeout_seconds: how long its caller waits.
        reply: its own part of what comes back.
    """

    request: pb.ScoreRequest
    timeout_seconds: float
    reply: "asyncio.Future[pb.ScoreResponse]"


class ScoreCalls:
    """Sends requests for scores to one replica, together where the replica reads that."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ppm_pb2_grpc.PpmServiceStub(channel)
        self._takes_more = False
        self._asked: dict[str, list[_Asked]] = {}
        """By the version that must serve them."""
        self._calls: dict[asyncio.Task[None], Sequence[_Asked]] = {}

    async def score(self, request: pb.ScoreRequest, *, timeout_seconds: float) -> pb.ScoreResponse:
        """Score a batch; grpc.aio.AioRpcError as Score raises it.

        Leaving the call ends what nobody else waits for.
        """
        if not self._takes_more:
            return await self._alone(request, timeout_seconds)
        loop = asyncio.get_running_loop()
        asked = _Asked(request, timeout_seconds, loop.create_future())
        if not self._asked:
            # After all who have something to ask at this turn of the loop.
            loop.call_soon(self._send)
        self._asked.setdefault(request.model_version, []).append(asked)
        try:
            return await asked.reply
        finally:
            self._end_idle_calls()

    async def _alone(self, request: pb.ScoreRequest, timeout_seconds: float) -> pb.ScoreResponse:
        reply: pb.ScoreResponse = await self._stub.Score(request, timeout=timeout_seconds)
        self._takes_more = reply.takes_more
        return reply

    def _send(self) -> None:
        waiting, self._asked = self._asked, {}
        for asked in waiting.values():
            for part in _parts([one for one in asked if not one.reply.done()]):
                # A call of several searches is in the trace of none; each part names its own.
                call = asyncio.create_task(self._call(part), context=tracing.untraced())
                self._calls[call] = part
                call.add_done_callback(self._calls.pop)

    def _end_idle_calls(self) -> None:
        for call, part in self._calls.items():
            if all(one.reply.done() for one in part):
                call.cancel()

    async def _call(self, part: Sequence[_Asked]) -> None:
        """Ask for all of a part, and hand each its own scores."""
        request = part[0].request
        if len(part) > 1:
            request = pb.ScoreRequest()
            request.CopyFrom(part[0].request)
            request.more.extend(one.request for one in part[1:])
        try:
            reply = await self._alone(request, max(one.timeout_seconds for one in part))
        except Exception as error:
            if len(part) > 1 and _is_of_one(error):
                await asyncio.gather(*(self._call([one]) for one in part))
                return
            for one in part:
                if not one.reply.done():
                    one.reply.set_exception(error)
        else:
            _share_out(reply, part)


def _is_of_one(error: Exception) -> bool:
    """Whether one of several requests may be at fault for what befell all."""
    return isinstance(error, grpc.aio.AioRpcError) and error.code() in _APART


def _share_out(reply: pb.ScoreResponse, part: Sequence[_Asked]) -> None:
    """Give each its own scores; what is missing is for the callers to find."""
    first = 0
    for one in part:
        end = first + len(one.request.solutions)
        if not one.reply.done():
            scores = reply.scores[first:end]
            one.reply.set_result(pb.ScoreResponse(scores=scores, model_version=reply.model_version))
        first = end


def _parts(asked: Sequence[_Asked]) -> list[list[_Asked]]:
    """Requests in their order, as many together as may be."""
    parts: list[list[_Asked]] = []
    solutions = size = 0
    for one in asked:
        solutions += len(one.request.solutions)
        size += one.request.ByteSize()
        if not parts or solutions > _MOST_SOLUTIONS or size > _MOST_BYTES:
            parts.append([])
            solutions, size = len(one.request.solutions), one.request.ByteSize()
        parts[-1].append(one)
    return parts
