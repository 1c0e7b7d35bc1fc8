"""Client of the PPM service."""

from collections.abc import Sequence

import grpc

from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.pb.ppm.v1 import ppm_pb2_grpc
from services.common.steps import Step
from services.search.clients.calls import Caller


class PpmClient:
    """Asks the PPM for scores. Errors: DependencyError, RejectedError."""

    def __init__(self, channel: grpc.aio.Channel, *, patience_seconds: float) -> None:
        self._stub = ppm_pb2_grpc.PpmServiceStub(channel)
        self._caller = Caller("ppm", patience_seconds=patience_seconds)

    async def version(self, timeout_seconds: float) -> str | None:
        """The version that is served; None while no PPM is published."""

        async def attempt(left: float) -> pb.InfoResponse:
            return await self._stub.Info(pb.InfoRequest(), timeout=left)

        info = await self._caller.call(attempt, timeout_seconds=timeout_seconds)
        return info.model_version if info.ready else None

    async def score(
        self,
        search_id: str,
        problem: str,
        solutions: Sequence[Sequence[Step]],
        *,
        timeout_seconds: float,
    ) -> list[float]:
        """Scores of partial solutions of one problem, each -1 to 1, in their order."""
        request = pb.ScoreRequest(
            search_id=search_id,
            problem=problem,
            solutions=[
                pb.PartialSolution(
                    steps=[
                        pb.Step(text=s.text, ends_code=s.ends_code, output=s.output) for s in steps
                    ]
                )
                for steps in solutions
            ],
        )

        async def attempt(left: float) -> pb.ScoreResponse:
            return await self._stub.Score(request, timeout=left)

        reply = await self._caller.call(attempt, timeout_seconds=timeout_seconds)
        return [score.value for score in reply.scores]
