"""`python -m trainer.lab.solver`: the scripted solver behind the policy's contract.

It plays the stronger model that bootstraps the first round. What the last step prints is the
answer, as with an instruct model. Its settings are RSTAR_LAB_SOLVER_<FIELD>.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Final

import grpc
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common import environment, logs, rpc, telemetry
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.common.settings import ServiceSettings
from trainer.lab.scripted import ErrorRates, NotInLanguage, Written, solve

NAME: Final = pb.DESCRIPTOR.services_by_name["PolicyService"].full_name
VERSION: Final = "lab-solver"
MAX_COUNT: Final = 64
MAX_PROBLEM_CHARS: Final = 16_384
MAX_STEPS: Final = 64
CONTEXT_TOKENS: Final = 1_000_000
_SEEDS: Final = 2**64
_RPCS: Final = 1024
_RATES: Final = ErrorRates()
_PRECONDITION: Final = grpc.StatusCode.FAILED_PRECONDITION

log = logs.get(__name__)


class SolverSettings(ServiceSettings):
    """Settings of the scripted solver."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_LAB_SOLVER_")

    port: int = Field(50051, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    first: float = Field(
        _RATES.first, ge=0, le=0.9, description="Share of wrong steps in problems of level 1."
    )
    each: float = Field(
        _RATES.each, ge=0, le=0.5, description="What every further level adds to that."
    )


class Solver(pb_grpc.PolicyServiceServicer):
    """PolicyService without a model."""

    def __init__(self, rates: ErrorRates) -> None:
        self._rates = rates

    @rpc.unary
    async def Info(  # noqa: N802 - the contract's name
        self, request: pb.InfoRequest, context: rpc.Context
    ) -> pb.InfoResponse:
        """Answer with the limits."""
        return pb.InfoResponse(
            model_version=VERSION,
            context_tokens=CONTEXT_TOKENS,
            max_count=MAX_COUNT,
            max_problem_chars=MAX_PROBLEM_CHARS,
            max_steps=MAX_STEPS,
            answer_source=pb.ANSWER_SOURCE_OUTPUT,
            max_in_flight=MAX_COUNT * _RPCS,
        )

    @rpc.streaming
    async def Propose(  # noqa: N802 - the contract's name
        self, request: pb.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[pb.ProposeResponse]:
        """Send each candidate as it is written."""
        _check(request)
        for index in range(request.count):
            yield self._candidate(request, index)
            # Others are served meanwhile, and a caller who has left is noticed.
            await asyncio.sleep(0)

    def _candidate(self, request: pb.ProposeRequest, index: int) -> pb.ProposeResponse:
        sampling = request.sampling
        try:
            written = solve(
                request.problem,
                before=len(request.steps),
                most=sampling.max_steps,
                seed=(sampling.seed + index) % _SEEDS,
                temperature=sampling.temperature,
                rates=self._rates,
            )
        except NotInLanguage as error:
            raise rpc.InvalidField("problem", str(error)) from error
        kept = _within(written, sampling.max_tokens)
        is_cut, ends = len(kept) < len(written), written[-1].ends_code
        finish = pb.FINISH_REASON_CODE if ends else pb.FINISH_REASON_STEP
        return pb.ProposeResponse(
            index=index,
            steps=[
                pb.ProposedStep(text=one.text, tokens=one.tokens, mean_logprob=one.mean_logprob)
                for one in kept
            ],
            tokens=sum(one.tokens for one in kept),
            finish_reason=pb.FINISH_REASON_LENGTH if is_cut else finish,
            model_version=VERSION,
            answer_source=pb.ANSWER_SOURCE_OUTPUT,
        )


def _within(written: list[Written], max_tokens: int) -> list[Written]:
    """The steps that end within a number of tokens; what is cut is left out whole."""
    kept: list[Written] = []
    left = max_tokens
    for one in written:
        left -= one.tokens
        if left < 0:
            break
        kept.append(one)
    return kept


def _check(request: pb.ProposeRequest) -> None:
    """InvalidField or StatusError where the request breaks the contract."""
    limits = (
        ("search_id", len(request.search_id), 1, 64),
        ("problem", len(request.problem), 1, MAX_PROBLEM_CHARS),
        ("steps", len(request.steps), 0, MAX_STEPS),
        ("count", request.count, 1, MAX_COUNT),
        ("sampling.max_tokens", request.sampling.max_tokens, 1, CONTEXT_TOKENS),
        ("sampling.max_steps", request.sampling.max_steps, 0, MAX_STEPS),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise rpc.InvalidField(name, f"must be {low} to {high}, is {value}")
    if any(step.ends_code for step in request.steps):
        raise rpc.InvalidField("steps", "the code is ended")
    if request.model_version not in {"", VERSION}:
        raise rpc.StatusError(
            _PRECONDITION, f"model_version: {request.model_version!r} is not served, {VERSION!r} is"
        )


async def serve(settings: SolverSettings) -> None:
    """Serve until a signal. rpc.AddressInUse where the port is taken."""
    server = rpc.Server((NAME,), max_concurrent_rpcs=_RPCS)
    solver = Solver(ErrorRates(settings.first, settings.each))
    pb_grpc.add_PolicyServiceServicer_to_server(solver, server.grpc)
    port = await server.start(settings.host, settings.port, settings.tls)
    for name in ("", NAME):
        await server.set_serving(True, name)
    log.info("listening", address=f"{settings.host}:{port}", model=VERSION)
    await rpc.wait_for_stop_signal()
    await server.stop(settings.drain_seconds)


def main() -> int:
    """Serve; the exit code."""
    settings = environment.read(SolverSettings)
    logs.configure("lab-solver", settings.log_level, settings.log_format)
    telemetry.warn_of_unknown(settings)
    try:
        asyncio.run(serve(settings))
    except rpc.AddressInUse as error:
        log.warning("cannot serve", why=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
