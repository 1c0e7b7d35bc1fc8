"""Scripted policy, PPM and sandbox behind the real contracts, for tests of the search alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import grpc

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc
from services.common.pb.sandbox.v1 import sandbox_pb2, sandbox_pb2_grpc

PPM_SERVICE = "rstar.ppm.v1.PpmService"


def solution(
    *steps: str, finish: int = policy_pb2.FINISH_REASON_CODE
) -> policy_pb2.ProposeResponse:
    """A candidate of these steps, one token a character."""
    return policy_pb2.ProposeResponse(
        steps=[
            policy_pb2.ProposedStep(text=text, tokens=len(text), mean_logprob=-0.5)
            for text in steps
        ],
        tokens=sum(map(len, steps)),
        finish_reason=finish,  # type: ignore[arg-type]  # an enum's value
    )


def votes(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """Two steps; of four candidates three answer 2, in three ways of writing, and one 3."""
    if request.steps:
        return solution("# Step 2: print\nprint 2")
    answer = ["2", "2.0", "4/2", "3"][index % 4]
    return solution(f"# Step 1: count {index % 4}\nn = 2", f"# Step 2: print\nprint {answer}")


@dataclass
class ScriptedPolicy(policy_pb2_grpc.PolicyServiceServicer):
    """Answers with `reply(request, index)`; records its requests.

    Attributes:
        reply: the candidate of a request and index, a status to fail with, or None to hang.
        source: where answers stand.
        requests: what it was asked.
        open_calls: calls that are under way.
    """

    reply: Callable[
        [policy_pb2.ProposeRequest, int], policy_pb2.ProposeResponse | rpc.StatusError | None
    ]
    source: int = policy_pb2.ANSWER_SOURCE_OUTPUT
    requests: list[policy_pb2.ProposeRequest] = field(default_factory=list)
    open_calls: int = 0

    @rpc.streaming
    async def Propose(  # noqa: N802 - the name in the contract
        self, request: policy_pb2.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[policy_pb2.ProposeResponse]:
        """Send the scripted candidates."""
        self.requests.append(request)
        self.open_calls += 1
        try:
            for index in range(request.count):
                reply = self.reply(request, index)
                if reply is None:
                    await asyncio.Event().wait()
                if isinstance(reply, rpc.StatusError):
                    raise reply
                reply.index = index
                reply.model_version = "scripted"
                reply.answer_source = self.source  # type: ignore[assignment]  # an enum's value
                yield reply
        finally:
            self.open_calls -= 1


@dataclass
class ScriptedPpm(ppm_pb2_grpc.PpmServiceServicer):
    """Scores with `score(texts of the steps)`; no model is published while it is None."""

    score: Callable[[Sequence[str]], float] | None = None

    @rpc.unary
    async def Info(  # noqa: N802 - the name in the contract
        self, request: ppm_pb2.InfoRequest, context: rpc.Context
    ) -> ppm_pb2.InfoResponse:
        """Say whether there is a model."""
        ready = self.score is not None
        return ppm_pb2.InfoResponse(ready=ready, model_version="scripted-ppm" if ready else "")

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
                for one in request.solutions
            ],
            model_version="scripted-ppm",
        )


@dataclass
class ScriptedSandbox(sandbox_pb2_grpc.SandboxServiceServicer):
    """Prints what follows `print` in a step's last line; a step with `raise` in it fails.

    Attributes:
        sessions: sessions that are open.
        runs: the code of each run, its ancestors' before it.
        forget: sessions to lose before the next run, as a restart does.
    """

    sessions: set[str] = field(default_factory=set)
    runs: list[tuple[str, ...]] = field(default_factory=list)
    forget: bool = False

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
        if self.forget:
            self.sessions.clear()
            self.forget = False
        if request.session_id not in self.sessions:
            raise rpc.StatusError(grpc.StatusCode.NOT_FOUND, "no such session")
        code = request.step.code
        self.runs.append((*(step.code for step in request.ancestors), code))
        if "raise" in code:
            error = sandbox_pb2.CodeError(type="ValueError", message="scripted", line=1)
            return sandbox_pb2.RunResponse(status=sandbox_pb2.STATUS_ERROR, error=error)
        _, _, printed = code.rpartition("print ")
        output = printed if "print " in code else ""
        return sandbox_pb2.RunResponse(status=sandbox_pb2.STATUS_OK, output=output)


@contextlib.asynccontextmanager
async def serving(
    add: Callable[..., None], servicer: object, *names: str, port: int = 0
) -> AsyncIterator[str]:
    """A gRPC server of one servicer, healthy under "" and `names`; its target."""
    server = rpc.Server(names, max_concurrent_rpcs=1000)
    add(servicer, server.grpc)
    bound = await server.start("127.0.0.1", port)
    for name in ("", *names):
        await server.set_serving(True, name)
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(0)
