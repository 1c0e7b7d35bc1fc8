"""The gRPC face of the PPM."""

import grpc

from services.common import rpc
from services.common.inference.gate import Gate
from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.pb.ppm.v1 import ppm_pb2_grpc as pb_grpc
from services.ppm import asks
from services.ppm.scorer import Served, score
from services.ppm.settings import PpmSettings

NAME = pb.DESCRIPTOR.services_by_name["PpmService"].full_name


class PpmServicer(pb_grpc.PpmServiceServicer):
    """PpmService; without a model it says so."""

    def __init__(self, settings: PpmSettings) -> None:
        self._settings = settings
        self._gate = Gate(settings.max_in_flight, "partial solutions")
        self._served: Served | None = None

    def serve(self, served: Served | None) -> None:
        """Serve this model to calls that begin from here on; None for no model."""
        self._served = served

    @rpc.unary
    async def Info(  # noqa: N802 - the contract's name
        self, request: pb.InfoRequest, context: rpc.Context
    ) -> pb.InfoResponse:
        """Answer with the model, if there is one, and the limits."""
        served, settings = self._served, self._settings
        return pb.InfoResponse(
            ready=served is not None,
            model_version=served.version if served else "",
            scale=served.scale if served else 0.0,
            context_tokens=served.engine.context_tokens if served else 0,
            max_batch=settings.max_batch,
            max_problem_chars=settings.max_problem_chars,
            max_in_flight=settings.max_in_flight,
        )

    @rpc.unary
    async def Score(  # noqa: N802 - the contract's name
        self, request: pb.ScoreRequest, context: rpc.Context
    ) -> pb.ScoreResponse:
        """Score a batch."""
        served = self._model(request.model_version)
        ask = asks.parse(request, self._settings)
        with self._gate.hold(len(ask.solutions)):
            scores = await score(served, ask)
        return pb.ScoreResponse(
            scores=[pb.Score(value=s.value, logit=s.logit, tokens=s.tokens) for s in scores],
            model_version=served.version,
        )

    def _model(self, version: str) -> Served:
        if self._served is None and self._settings.model:
            raise rpc.StatusError(grpc.StatusCode.UNAVAILABLE, "the model is loading; try again")
        if self._served is None:
            raise rpc.StatusError(
                grpc.StatusCode.FAILED_PRECONDITION, "NO_MODEL: no PPM is published to this server"
            )
        if version and version != self._served.version:
            raise rpc.StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"model_version: {version!r} is not served, {self._served.version!r} is",
            )
        return self._served
