"""The gRPC face of the PPM."""

import contextlib

import grpc
from prometheus_client import Gauge, Histogram

from services.common import rpc, tracing
from services.common.inference.admin import Admin
from services.common.inference.gate import Gate
from services.common.inference.serving import Serving
from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.pb.ppm.v1 import ppm_pb2_grpc as pb_grpc
from services.ppm import asks
from services.ppm.scorer import Score, Served, score
from services.ppm.settings import PpmSettings

BATCH = Histogram(
    "rstar_ppm_batch_solutions",
    "Partial solutions in a call.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
IN_FLIGHT = Gauge("rstar_ppm_in_flight_solutions", "Partial solutions that wait or are scored.")

NAME = pb.DESCRIPTOR.services_by_name["PpmService"].full_name
ADMIN_NAME = pb.DESCRIPTOR.services_by_name["AdminService"].full_name


class PpmServicer(pb_grpc.PpmServiceServicer):
    """PpmService; without a model it says so.

    Attributes:
        lacks_model: whether none is published yet, rather than being loaded.
    """

    def __init__(self, settings: PpmSettings, serving: Serving[Served]) -> None:
        self._settings = settings
        self._serving = serving
        self._gate = Gate(settings.max_in_flight, "partial solutions", IN_FLIGHT)
        self.lacks_model = not settings.model

    @rpc.unary
    async def Info(  # noqa: N802 - the contract's name
        self, request: pb.InfoRequest, context: rpc.Context
    ) -> pb.InfoResponse:
        """Answer with the model, if there is one, and the limits."""
        served, settings = self._serving.main, self._settings
        return pb.InfoResponse(
            ready=served is not None,
            model_version=served.version if served else "",
            scale=served.scale if served else 0.0,
            context_tokens=served.engine.context_tokens if served else 0,
            max_batch=settings.max_batch,
            max_problem_chars=settings.max_problem_chars,
            max_in_flight=settings.max_in_flight,
            engine=served.engine.description if served else "",
        )

    @rpc.unary
    async def Score(  # noqa: N802 - the contract's name
        self, request: pb.ScoreRequest, context: rpc.Context
    ) -> pb.ScoreResponse:
        """Score a batch, all of it by one version."""
        self._check_model()
        batches = asks.parse(request, self._settings)
        count = sum(len(batch.solutions) for batch in batches)

        async def work(served: Served) -> tuple[str, list[Score]]:
            return served.version, await score(served, batches)

        with contextlib.ExitStack() as held:
            held.enter_context(self._gate.hold(count))
            for one in (request, *request.more):
                above, size = one.traceparent, len(one.solutions)
                held.enter_context(tracing.span_under(above, "score", solutions=size, call=count))
            BATCH.observe(count)
            version, scores = await self._serving.use(request.model_version, work)
        return pb.ScoreResponse(
            scores=[pb.Score(value=s.value, logit=s.logit, tokens=s.tokens) for s in scores],
            model_version=version,
            takes_more=True,
        )

    def _check_model(self) -> None:
        if self._serving.main is None and self.lacks_model:
            raise rpc.StatusError(
                grpc.StatusCode.FAILED_PRECONDITION, "NO_MODEL: no PPM is published to this server"
            )


class AdminServicer(pb_grpc.AdminServiceServicer):
    """AdminService."""

    def __init__(self, admin: Admin[Served]) -> None:
        self._admin = admin

    @rpc.unary
    async def Load(  # noqa: N802 - the contract's name
        self, request: pb.LoadRequest, context: rpc.Context
    ) -> pb.LoadResponse:
        """Serve another version."""
        loaded = await self._admin.load(request.model, context)
        return pb.LoadResponse(
            model_version=loaded.version,
            how=loaded.how,
            pause_seconds=loaded.pause_seconds,
            interrupted=loaded.interrupted,
        )
