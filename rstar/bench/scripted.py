"""Scripted policy, PPM and sandbox behind the real contracts: no model, no think time.

The policy and the PPM stand in for models when the search is measured; the sandbox, which runs
nothing, only where the search's own cost is to be seen apart from it. Tests script them further.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc
from services.common.pb.sandbox.v1 import sandbox_pb2, sandbox_pb2_grpc

PolicyReply = policy_pb2.ProposeResponse | rpc.StatusError | None
"""A candidate, a status to fail with, or None to hang."""
PolicyScript = Callable[[policy_pb2.ProposeRequest, int], PolicyReply]
PpmScript = Callable[[Sequence[str]], float]

SOLUTION_STEPS: Final = 5
"""Steps of a solution under load, about what the reference's trajectories have."""
ANSWERS: Final = 7
"""Different answers under load."""
_IN_FLIGHT: Final = 256
_PPM_IN_FLIGHT: Final = 1024
_MAX_BATCH: Final = 256
_MAX_CHARS: Final = 65_536


def candidate(
    *steps: str, finish: "policy_pb2.FinishReason.ValueType" = policy_pb2.FINISH_REASON_CODE
) -> policy_pb2.ProposeResponse:
    """A candidate of these steps, one token a character."""
    return policy_pb2.ProposeResponse(
        steps=[
            policy_pb2.ProposedStep(text=text, tokens=len(text), mean_logprob=-0.5)
            for text in steps
        ],
        tokens=sum(map(len, steps)),
        finish_reason=finish,
    )


def arithmetic(request: policy_pb2.ProposeRequest, index: int) -> PolicyReply:
    """Trivial arithmetic, no two steps alike; one token a step, so that tokens count steps.

    A solution has SOLUTION_STEPS steps, of which the last prints one of ANSWERS answers.
    """
    number = (request.sampling.seed + index) % 1_000_000_007
    first = len(request.steps) + 1
    last = SOLUTION_STEPS if request.sampling.max_steps == 0 else first
    texts = [_arithmetic_step(k, number) for k in range(first, last + 1)]
    ends = last >= SOLUTION_STEPS
    return policy_pb2.ProposeResponse(
        steps=[policy_pb2.ProposedStep(text=text, tokens=1, mean_logprob=-0.5) for text in texts],
        tokens=len(texts),
        finish_reason=(policy_pb2.FINISH_REASON_CODE if ends else policy_pb2.FINISH_REASON_STEP),
    )


def _arithmetic_step(number: int, seed: int) -> str:
    if number >= SOLUTION_STEPS:
        return f"# Step {number}: print, variant {seed}\nprint({seed} % {ANSWERS})"
    return f"# Step {number}: add {seed}\nx{number} = {number} + {seed}"


def spread(steps: Sequence[str]) -> float:
    """A score of -1 to 1 that depends on the last step alone."""
    digest = hashlib.blake2b(steps[-1].encode(), digest_size=2).digest()
    return int.from_bytes(digest) / 32_768 - 1


@dataclass
class ScriptedPolicy(policy_pb2_grpc.PolicyServiceServicer):
    """Answers with `reply(request, index)`.

    Attributes:
        reply: the candidate of a request and index, a status to fail with, or None to hang.
        source: where answers stand.
        max_in_flight: candidates that it says it takes at once.
        open_calls: calls that are under way.
        version: what it serves.
        trials: what it serves beside that.
    """

    reply: PolicyScript = arithmetic
    source: "policy_pb2.AnswerSource.ValueType" = policy_pb2.ANSWER_SOURCE_OUTPUT
    max_in_flight: int = _IN_FLIGHT
    open_calls: int = 0
    version: str = "scripted"
    trials: tuple[str, ...] = ()

    @rpc.unary
    async def Info(  # noqa: N802 - the name in the contract
        self, request: policy_pb2.InfoRequest, context: rpc.Context
    ) -> policy_pb2.InfoResponse:
        """The limits."""
        return policy_pb2.InfoResponse(
            model_version=self.version,
            prompt_version="scripted-0",
            engine="scripted",
            trial_versions=self.trials,
            context_tokens=1_000_000,
            max_count=64,
            max_problem_chars=_MAX_CHARS,
            max_steps=64,
            answer_source=self.source,
            max_in_flight=self.max_in_flight,
            batch_sequences=self.max_in_flight,
        )

    @rpc.streaming
    async def Propose(  # noqa: N802 - the name in the contract
        self, request: policy_pb2.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[policy_pb2.ProposeResponse]:
        """Send the scripted candidates."""
        self.open_calls += 1
        ready: list[policy_pb2.ProposeResponse] = []
        try:
            for index in range(request.count):
                asked = request.model_version or self.version
                if asked not in {self.version, *self.trials}:
                    raise rpc.StatusError(
                        grpc.StatusCode.FAILED_PRECONDITION, f"{asked!r} is not served"
                    )
                reply = self.reply(request, index)
                if isinstance(reply, policy_pb2.ProposeResponse):
                    reply.index = index
                    reply.model_version = asked
                    reply.answer_source = self.source
                    ready.append(reply)
                    if request.takes_more and index + 1 < request.count:
                        continue
                if ready:
                    ready[0].more.extend(ready[1:])
                    yield ready[0]
                    ready = []
                if reply is None:
                    await asyncio.Event().wait()
                if isinstance(reply, rpc.StatusError):
                    raise reply
        finally:
            self.open_calls -= 1


@dataclass
class ScriptedPpm(ppm_pb2_grpc.PpmServiceServicer):
    """Scores with `score(texts of the steps)`; no model is published while it is None."""

    score: PpmScript | None = None

    @rpc.unary
    async def Info(  # noqa: N802 - the name in the contract
        self, request: ppm_pb2.InfoRequest, context: rpc.Context
    ) -> ppm_pb2.InfoResponse:
        """Say whether there is a model, and the limits."""
        ready = self.score is not None
        return ppm_pb2.InfoResponse(
            ready=ready,
            model_version="scripted-ppm" if ready else "",
            engine="scripted" if ready else "",
            scale=1.0 if ready else 0.0,
            context_tokens=1_000_000,
            max_batch=_MAX_BATCH,
            max_problem_chars=_MAX_CHARS,
            max_in_flight=_PPM_IN_FLIGHT,
        )

    @rpc.unary
    async def Score(  # noqa: N802 - the name in the contract
        self, request: ppm_pb2.ScoreRequest, context: rpc.Context
    ) -> ppm_pb2.ScoreResponse:
        """Score each partial solution."""
        if self.score is None:
            raise rpc.StatusError(grpc.StatusCode.FAILED_PRECONDITION, "NO_MODEL")
        return ppm_pb2.ScoreResponse(
            scores=[
                ppm_pb2.Score(value=self.score([step.text for step in one.steps]))
                for batch in (request, *request.more)
                for one in batch.solutions
            ],
            model_version="scripted-ppm",
            takes_more=True,
        )


@dataclass
class ScriptedSandbox(sandbox_pb2_grpc.SandboxServiceServicer):
    """Reads what a step's last line would print and runs nothing; see `printed`.

    Attributes:
        sessions: sessions that are open.
        forget: sessions to lose before the next run, as a restart does.
    """

    sessions: set[str] = field(default_factory=set)
    forget: bool = False

    @rpc.unary
    async def Info(  # noqa: N802 - the name in the contract
        self, request: sandbox_pb2.InfoRequest, context: rpc.Context
    ) -> sandbox_pb2.InfoResponse:
        """The limits."""
        return sandbox_pb2.InfoResponse(
            mode="scripted",
            max_limits=sandbox_pb2.Limits(wall_ms=10_000, memory_mib=512, output_bytes=16_384),
            max_sessions=10_000,
            workers=2,
            max_queue=256,
            max_code_bytes=_MAX_CHARS,
            max_ancestors=64,
        )

    @rpc.unary
    async def OpenSession(  # noqa: N802 - the name in the contract
        self, request: sandbox_pb2.OpenSessionRequest, context: rpc.Context
    ) -> sandbox_pb2.OpenSessionResponse:
        """Open a session."""
        self.sessions.add(request.session_id)
        return sandbox_pb2.OpenSessionResponse()

    @rpc.unary
    async def CloseSession(  # noqa: N802 - the name in the contract
        self, request: sandbox_pb2.CloseSessionRequest, context: rpc.Context
    ) -> sandbox_pb2.CloseSessionResponse:
        """Close a session."""
        self.sessions.discard(request.session_id)
        return sandbox_pb2.CloseSessionResponse()

    @rpc.unary
    async def Run(  # noqa: N802 - the name in the contract
        self, request: sandbox_pb2.RunRequest, context: rpc.Context
    ) -> sandbox_pb2.RunResponse:
        """Run a step, in a manner of speaking."""
        return self.run(request)

    @rpc.unary
    async def RunMany(  # type: ignore[override]  # noqa: N802 - the name in the contract
        self, requests: AsyncIterator[sandbox_pb2.RunManyRequest], context: rpc.Context
    ) -> None:
        """Run steps one after the other."""
        async for request in requests:
            together = (request, *request.more)
            answers = [self._answer(one) for one in together if one.WhichOneof("what") == "run"]
            if answers:
                answers[0].more.extend(answers[1:])
                await context.write(answers[0])

    def _answer(self, request: sandbox_pb2.RunManyRequest) -> sandbox_pb2.RunManyResponse:
        answer = sandbox_pb2.RunManyResponse(id=request.id, takes_more=True)
        try:
            answer.response.CopyFrom(self.run(request.run))
        except rpc.StatusError as error:
            answer.failure.code, answer.failure.details = error.code.value[0], error.details
        return answer

    def run(self, request: sandbox_pb2.RunRequest) -> sandbox_pb2.RunResponse:
        """What a step comes to; rpc.StatusError where it cannot be run."""
        if self.forget:
            self.sessions.clear()
            self.forget = False
        if request.session_id not in self.sessions:
            raise rpc.StatusError(grpc.StatusCode.NOT_FOUND, "no such session")
        code = request.step.code
        if "raise" in code:
            error = sandbox_pb2.CodeError(type="ValueError", message="scripted", line=1)
            return sandbox_pb2.RunResponse(status=sandbox_pb2.STATUS_ERROR, error=error)
        return sandbox_pb2.RunResponse(status=sandbox_pb2.STATUS_OK, output=printed(code))


def printed(code: str) -> str:
    """What a step prints: the text after its last `print `, or `print(a % b)` worked out."""
    _, found, rest = code.rpartition("print(")
    if found:
        dividend, _, divisor = rest.partition(")")[0].partition(" % ")
        return str(int(dividend) % int(divisor))
    _, found, rest = code.rpartition("print ")
    return rest if found else ""
