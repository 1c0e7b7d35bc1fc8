"""A PPM that passes everything on to another and notes what was scored."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import grpc

from rstar.bench import in_front
from rstar.stack.config import LOOPBACK
from services.common import rpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc

_SERVICE: Final = ppm_pb2.DESCRIPTOR.services_by_name["PpmService"].full_name


@dataclass(frozen=True, slots=True)
class Scored:
    """One score.

    Attributes:
        problem: of the partial solution.
        solution: that was scored.
        score: what the PPM thinks of it.
        version: the label.
    """

    problem: str
    solution: ppm_pb2.PartialSolution
    score: ppm_pb2.Score
    version: str


@dataclass
class PpmRecorder(ppm_pb2_grpc.PpmServiceServicer):
    """Passes calls on to the PPM at `target`.

    Attributes:
        target: where the PPM is.
        scored: what it gave.
    """

    target: str
    scored: list[Scored] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stub = ppm_pb2_grpc.PpmServiceStub(rpc.channel(self.target))

    @rpc.unary
    async def Info(  # noqa: N802 - the name in the contract
        self, request: ppm_pb2.InfoRequest, context: rpc.Context
    ) -> ppm_pb2.InfoResponse:
        """What the PPM says of itself."""
        try:
            return await self._stub.Info(request, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as error:
            raise rpc.StatusError(error.code(), error.details() or "") from error

    @rpc.unary
    async def Score(  # noqa: N802 - the name in the contract
        self, request: ppm_pb2.ScoreRequest, context: rpc.Context
    ) -> ppm_pb2.ScoreResponse:
        """The PPM's scores."""
        try:
            reply = await self._stub.Score(request, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as error:
            raise rpc.StatusError(error.code(), error.details() or "") from error
        asked = [
            (part.problem, solution)
            for part in (request, *request.more)
            for solution in part.solutions
        ]
        self.scored += [
            Scored(problem, solution, score, reply.model_version)
            for (problem, solution), score in zip(asked, reply.scores, strict=True)
        ]
        return reply


@contextlib.asynccontextmanager
async def recording_ppm(ppm_port: int) -> AsyncIterator[tuple[PpmRecorder, str]]:
    """A recorder before a PPM that listens, or will, on a port; with its own target."""
    recorder = PpmRecorder(f"{LOOPBACK}:{ppm_port}")
    add = ppm_pb2_grpc.add_PpmServiceServicer_to_server
    async with in_front.serving(add, recorder, _SERVICE) as target:
        yield recorder, target
