"""A policy that passes everything on to another and notes what was drawn, and when."""

import asyncio
import contextlib
import heapq
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc

from rstar.bench import in_front
from rstar.stack.config import LOOPBACK
from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc

_SERVICE: Final = policy_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name


@dataclass(frozen=True, slots=True)
class Drawn:
    """One candidate.

    Attributes:
        request: the call that it belongs to.
        index: its place in the call.
        tokens: new tokens.
        begun: when it was asked for, in monotonic seconds.
        ended: when it was there.
        reply: what it is.
    """

    request: policy_pb2.ProposeRequest
    index: int
    tokens: int
    begun: float
    ended: float
    reply: policy_pb2.ProposeResponse = field(default_factory=policy_pb2.ProposeResponse)


@dataclass
class Recorder(policy_pb2_grpc.PolicyServiceServicer):
    """Passes calls on to the policy at `target`.

    Attributes:
        target: where the policy is.
        drawn: the candidates that it gave.
        in_flight: candidates asked for and not there yet.
        levels: (time, candidates in flight from then on).
    """

    target: str
    drawn: list[Drawn] = field(default_factory=list)
    in_flight: int = 0
    levels: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._drawing: set[asyncio.Task[None]] = set()
        self._stub = policy_pb2_grpc.PolicyServiceStub(rpc.channel(self.target))

    @rpc.unary
    async def Info(  # noqa: N802 - the name in the contract
        self, request: policy_pb2.InfoRequest, context: rpc.Context
    ) -> policy_pb2.InfoResponse:
        """What the policy says of itself."""
        try:
            return await self._stub.Info(request, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as error:
            raise rpc.StatusError(error.code(), error.details() or "") from error

    @rpc.streaming
    async def Propose(  # noqa: N802 - the name in the contract
        self, request: policy_pb2.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[policy_pb2.ProposeResponse]:
        """The policy's candidates."""
        replies: asyncio.Queue[policy_pb2.ProposeResponse | grpc.aio.AioRpcError | None]
        replies = asyncio.Queue()
        # In a task of its own: what the caller no longer waits for is counted to its end.
        drawing = asyncio.create_task(self._draw(request, replies))
        self._drawing.add(drawing)
        drawing.add_done_callback(self._drawing.discard)
        while (reply := await replies.get()) is not None:
            if isinstance(reply, grpc.aio.AioRpcError):
                raise rpc.StatusError(reply.code(), reply.details() or "")
            yield reply

    async def settle(self) -> None:
        """Wait until all that was asked for is drawn."""
        await asyncio.gather(*self._drawing)

    async def _draw(
        self,
        request: policy_pb2.ProposeRequest,
        replies: "asyncio.Queue[policy_pb2.ProposeResponse | grpc.aio.AioRpcError | None]",
    ) -> None:
        begun = time.monotonic()
        missing = request.count
        self._change(missing)
        call = self._stub.Propose(request)
        try:
            while isinstance(reply := await call.read(), policy_pb2.ProposeResponse):
                ended = time.monotonic()
                several = (reply, *reply.more)
                missing -= len(several)
                self._change(-len(several))
                self.drawn += [
                    Drawn(request, one.index, one.tokens, begun, ended, one) for one in several
                ]
                replies.put_nowait(reply)
            replies.put_nowait(None)
        except grpc.aio.AioRpcError as error:
            replies.put_nowait(error)
        finally:
            self._change(-missing)

    def _change(self, by: int) -> None:
        self.in_flight += by
        self.levels.append((time.monotonic(), self.in_flight))


@contextlib.asynccontextmanager
async def recording(policy_port: int) -> AsyncIterator[tuple[Recorder, str]]:
    """A recorder before a policy that listens, or will, on a port; with its own target."""
    recorder = Recorder(f"{LOOPBACK}:{policy_port}")
    add = policy_pb2_grpc.add_PolicyServiceServicer_to_server
    async with in_front.serving(add, recorder, _SERVICE) as target:
        yield recorder, target


@dataclass(frozen=True, slots=True)
class Span:
    """When the engine computed a candidate, as far as that can be told from outside."""

    begin: float
    end: float
    tokens: int

    def share(self, begin: float, end: float) -> float:
        """How much of it lies between two times, 0 to 1."""
        inside = min(self.end, end) - max(self.begin, begin)
        return inside / (self.end - self.begin) if inside > 0 else 0.0


def spans(drawn: Sequence[Drawn], batch: int) -> list[Span]:
    """When each candidate was computed, all of an engine's given.

    An engine that computes `batch` sequences at once takes them in the order in which they were
    asked for: each is computed from when there was room for it to its end.
    """
    free = [float("-inf")] * batch
    return [
        Span(max(one.begun, heapq.heapreplace(free, one.ended)), one.ended, one.tokens)
        for one in sorted(drawn, key=lambda drawn: drawn.begun)
    ]


def tokens_between(computed: Sequence[Span], begin: float, end: float) -> float:
    """Tokens computed between two times, each candidate's spread evenly over its span."""
    return sum(one.tokens * one.share(begin, end) for one in computed)


def mean_level(levels: Sequence[tuple[float, int]], begin: float, end: float) -> float:
    """Mean of a level over a span, from the times at which it changed."""
    total, level, at = 0.0, 0, begin
    for time_of, new in levels:
        if time_of > begin:
            total += level * (min(time_of, end) - at)
            at = min(time_of, end)
        level = new
    return (total + level * (end - at)) / (end - begin)
