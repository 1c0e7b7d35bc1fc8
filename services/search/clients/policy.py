"""Client of the policy service."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc

from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc
from services.common.steps import Step
from services.search.clients.calls import Caller, explain


@dataclass(frozen=True, slots=True)
class Sampling:
    """How candidates are drawn; see the fields of rstar.policy.v1.Sampling."""

    temperature: float
    max_tokens: int
    seed: int
    max_steps: int


class PolicyClient:
    """Asks the policy for candidates. Errors: DependencyError, RejectedError."""

    def __init__(self, channel: grpc.aio.Channel, *, patience_seconds: float) -> None:
        self._stub = policy_pb2_grpc.PolicyServiceStub(channel)
        self._caller = Caller("policy", patience_seconds=patience_seconds)

    async def info(self, timeout_seconds: float) -> pb.InfoResponse:
        """What is served, and its limits."""

        async def attempt(left: float) -> pb.InfoResponse:
            return await self._stub.Info(pb.InfoRequest(), timeout=left)

        return await self._caller.call(attempt, timeout_seconds=timeout_seconds)

    async def propose(
        self,
        search_id: str,
        problem: str,
        steps: Sequence[Step],
        count: int,
        sampling: Sampling,
        *,
        timeout_seconds: float,
    ) -> AsyncIterator[pb.ProposeResponse]:
        """Candidates as they finish.

        A policy that goes away after the first of them only ends the stream early: what was drawn
        is good, and the next call will find out whether it is back.
        """
        request = pb.ProposeRequest(
            search_id=search_id,
            problem=problem,
            steps=[pb.Step(text=s.text, ends_code=s.ends_code, output=s.output) for s in steps],
            count=count,
            sampling=pb.Sampling(
                temperature=sampling.temperature,
                max_tokens=sampling.max_tokens,
                seed=sampling.seed,
                max_steps=sampling.max_steps,
            ),
        )

        async def first(left: float) -> tuple[_Stream, pb.ProposeResponse | None]:
            stream = self._stub.Propose(request, timeout=left)
            return stream, await _read(stream)

        stream, response = await self._caller.call(first, timeout_seconds=timeout_seconds)
        try:
            while response is not None:
                yield response
                response = await _read_if_alive(stream)
        finally:
            stream.cancel()


_Stream = grpc.aio.UnaryStreamCall[pb.ProposeRequest, pb.ProposeResponse]


async def _read(stream: _Stream) -> pb.ProposeResponse | None:
    """The next response; None at the end."""
    reply = await stream.read()
    return reply if isinstance(reply, pb.ProposeResponse) else None


async def _read_if_alive(stream: _Stream) -> pb.ProposeResponse | None:
    try:
        return await _read(stream)
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return None
        raise explain("policy", error) from error
