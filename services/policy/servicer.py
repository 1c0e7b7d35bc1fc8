"""The gRPC face of the policy."""

from collections.abc import AsyncIterator

from services.common import rpc
from services.common.inference.admin import Admin
from services.common.inference.gate import Gate
from services.common.inference.serving import Serving
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy import asks, messages
from services.policy.meters import IN_FLIGHT, count
from services.policy.prompts import version_of
from services.policy.sampler import Drawn, Served, sample
from services.policy.settings import PolicySettings

NAME = pb.DESCRIPTOR.services_by_name["PolicyService"].full_name
ADMIN_NAME = pb.DESCRIPTOR.services_by_name["AdminService"].full_name


class PolicyServicer(pb_grpc.PolicyServiceServicer):
    """PolicyService; UNAVAILABLE while no model is loaded."""

    def __init__(self, settings: PolicySettings, serving: Serving[Served]) -> None:
        self._settings = settings
        self._serving = serving
        self._gate = Gate(settings.max_in_flight, "candidates", IN_FLIGHT)

    @rpc.unary
    async def Info(  # noqa: N802 - the contract's name
        self, request: pb.InfoRequest, context: rpc.Context
    ) -> pb.InfoResponse:
        """Answer with the model and the limits."""
        served, settings = self._serving.pick(), self._settings
        return pb.InfoResponse(
            model_version=served.version,
            context_tokens=served.engine.context_tokens,
            max_count=settings.max_count,
            max_problem_chars=settings.max_problem_chars,
            max_steps=settings.max_steps,
            answer_source=messages.answer_source(served.style.answer_source),
            max_in_flight=settings.max_in_flight,
            batch_sequences=settings.batch_sequences,
            trial_versions=self._serving.versions[1:],
            prompt_version=version_of(served.style),
            engine=served.engine.description,
        )

    @rpc.streaming
    async def Propose(  # noqa: N802 - the contract's name
        self, request: pb.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[pb.ProposeResponse]:
        """Send each candidate as soon as it is finished."""
        served = await self._serving.admit(request.model_version)
        ask = asks.parse(request, self._settings, served.engine.context_tokens)
        if fault := served.style.continues(ask.steps):
            raise rpc.InvalidField("steps", fault)
        with self._gate.hold(ask.count):
            async for several in sample(self._serving, request.model_version, ask):
                for drawn in several:
                    count(drawn.candidate)
                replies = [_response(drawn) for drawn in several]
                for message in messages.together(replies, takes_more=request.takes_more):
                    yield message


def _response(drawn: Drawn) -> pb.ProposeResponse:
    served = drawn.served
    return messages.response(
        drawn.index, drawn.candidate, served.version, served.style.answer_source
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
