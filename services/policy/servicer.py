"""The gRPC face of the policy."""

from collections.abc import AsyncIterator

import grpc

from services.common import logs, rpc
from services.common.inference.gate import Gate
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy import asks
from services.policy.candidates import Candidate
from services.policy.sampler import Served, sample
from services.policy.settings import PolicySettings

NAME = pb.DESCRIPTOR.services_by_name["PolicyService"].full_name

log = logs.get(__name__)


class PolicyServicer(pb_grpc.PolicyServiceServicer):
    """PolicyService; UNAVAILABLE until it is given a model."""

    def __init__(self, settings: PolicySettings) -> None:
        self._settings = settings
        self._gate = Gate(settings.max_in_flight, "candidates")
        self._served: Served | None = None

    def serve(self, served: Served | None) -> None:
        """Serve this model to calls that begin from here on; None for no model."""
        self._served = served

    @rpc.unary
    async def Info(  # noqa: N802 - the contract's name
        self, request: pb.InfoRequest, context: rpc.Context
    ) -> pb.InfoResponse:
        """Answer with the model and the limits."""
        served, settings = self._model(""), self._settings
        return pb.InfoResponse(
            model_version=served.version,
            context_tokens=served.engine.context_tokens,
            max_count=settings.max_count,
            max_problem_chars=settings.max_problem_chars,
            max_steps=settings.max_steps,
            answer_source=_answer_source(served),
            max_in_flight=settings.max_in_flight,
            batch_sequences=settings.batch_sequences,
        )

    @rpc.streaming
    async def Propose(  # noqa: N802 - the contract's name
        self, request: pb.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[pb.ProposeResponse]:
        """Send each candidate as soon as it is finished."""
        served = self._model(request.model_version)
        ask = asks.parse(request, self._settings, served.engine.context_tokens)
        if fault := served.style.continues(ask.steps):
            raise rpc.InvalidField("steps", fault)
        with self._gate.hold(ask.count):
            prompt = await self._prompt(served, ask)
            async for index, candidate in sample(served, prompt, ask):
                yield _response(served, index, candidate)

    async def _prompt(self, served: Served, ask: asks.Ask) -> list[int]:
        engine, style = served.engine, served.style
        text = style.prompt(ask.problem, ask.steps)
        prompt = await engine.tokenize(text, add_special_tokens=style.special_tokens)
        room = engine.context_tokens - len(prompt)
        if ask.sampling.max_tokens > room:
            raise rpc.InvalidField(
                "sampling.max_tokens",
                f"the prompt's {len(prompt)} tokens and {ask.sampling.max_tokens} new ones are "
                f"over the context of {engine.context_tokens} tokens",
            )
        return prompt

    def _model(self, version: str) -> Served:
        if self._served is None:
            raise rpc.StatusError(grpc.StatusCode.UNAVAILABLE, "no model is loaded yet; try again")
        if version and version != self._served.version:
            raise rpc.StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"model_version: {version!r} is not served, {self._served.version!r} is",
            )
        return self._served


def _response(served: Served, index: int, candidate: Candidate) -> pb.ProposeResponse:
    return pb.ProposeResponse(
        index=index,
        steps=[
            pb.ProposedStep(text=step.text, tokens=step.tokens, mean_logprob=step.mean_logprob)
            for step in candidate.steps
        ],
        tokens=candidate.tokens,
        finish_reason=pb.FinishReason.Value(f"FINISH_REASON_{candidate.finish.name}"),
        model_version=served.version,
        answer_source=_answer_source(served),
    )


def _answer_source(served: Served) -> "pb.AnswerSource.ValueType":
    return pb.AnswerSource.Value(f"ANSWER_SOURCE_{served.style.answer_source.name}")
