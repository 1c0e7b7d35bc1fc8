"""Client of the policy service."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc
from services.common.steps import Step
from services.search.clients.calls import Caller, VersionGone
from services.search.clients.replicas import Endpoint, Limits, Replicas

ASSUMED = Limits(capacity=64, places=64)
"""Candidates, until the policy has said what it takes."""

# What may befall a call in the middle, so that the rest is asked for again: the replica went away,
# or exchanged the version that the call is pinned to.
_BEGIN_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION)

OnCandidate = Callable[[pb.ProposeResponse], None]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How candidates are drawn; see the fields of rstar.policy.v1.Sampling."""

    temperature: float
    max_tokens: int
    seed: int
    max_steps: int


async def learn(channel: grpc.aio.Channel, timeout_seconds: float) -> Limits:
    """What a policy can carry: half as many again as it computes at once, as far as it allows."""
    info = await policy_pb2_grpc.PolicyServiceStub(channel).Info(
        pb.InfoRequest(), timeout=timeout_seconds
    )
    capacity = min(info.batch_sequences or info.max_in_flight, info.max_in_flight)
    return Limits(capacity, max(1, min(info.max_in_flight, capacity + capacity // 2)))


@dataclass(slots=True)
class Wanted:
    """Which version of the policy a search draws from.

    Attributes:
        version: empty for whichever is served.
        pinned: whether the search ends where the version is gone; otherwise, a trial, it goes on
            with whichever is served.
    """

    version: str = ""
    pinned: bool = False


class PolicyClient:
    """Asks the policy for candidates. Errors: DependencyError, RejectedError."""

    def __init__(self, replicas: Replicas, *, patience_seconds: float) -> None:
        self._caller = Caller(replicas, patience_seconds=patience_seconds)
        self._gate = replicas.gate

    async def versions(self, search_id: str, timeout_seconds: float) -> tuple[str, list[str]]:
        """The version that a search would draw from, and those that are tried beside it.

        DependencyError, RejectedError.
        """
        info = await self.info(search_id, timeout_seconds)
        return info.model_version, list(info.trial_versions)

    async def info(self, search_id: str, timeout_seconds: float) -> pb.InfoResponse:
        """What the replica of a search says of itself. DependencyError, RejectedError."""

        async def attempt(endpoint: Endpoint, left: float) -> pb.InfoResponse:
            stub = endpoint.stub(policy_pb2_grpc.PolicyServiceStub)
            return await stub.Info(pb.InfoRequest(), timeout=left)

        return await self._caller.call(attempt, key=search_id, timeout_seconds=timeout_seconds)

    async def propose(
        self,
        search_id: str,
        problem: str,
        steps: Sequence[Step],
        count: int,
        sampling: Sampling,
        on_candidate: OnCandidate,
        *,
        timeout_seconds: float,
        wanted: Wanted | None = None,
    ) -> None:
        """Hand over candidates as they finish, each once; return after the last.

        A large call takes its places as other searches leave them. When the policy goes away in
        the middle, what was drawn is good and the rest is asked for again; when the time is up,
        what was drawn remains.
        """
        proposal = _Proposal(search_id, problem, steps, sampling, on_candidate, wanted or Wanted())
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        parts: list[asyncio.Task[None]] = []
        held: list[set[int]] = []
        first = 0
        try:
            while first < count:
                places = await self._gate.enter(search_id, count - first)
                held.append(set(range(first, first + places)))
                first += places
                if places == count:
                    return await self._part(proposal, held[0], deadline)
                parts.append(asyncio.create_task(self._part(proposal, held[-1], deadline)))
                _raise_first(parts)
            await asyncio.wait(parts, return_when=asyncio.FIRST_EXCEPTION)
            _raise_first(parts)
        finally:
            for task in parts:
                task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            # What a part holds is its own to give back, unless it was cancelled before it began.
            for missing in held:
                self._give_back(search_id, missing)

    async def _part(self, proposal: "_Proposal", missing: set[int], deadline: float) -> None:
        """Draw the candidates of the missing indices, whose places are held."""
        wanted = len(missing)
        try:
            while missing:
                left = deadline - asyncio.get_running_loop().time()
                before = len(missing)
                if left <= 0 and before < wanted:
                    return
                try:
                    is_over = await self._caller.call(
                        lambda endpoint, seconds: self._draw(proposal, missing, endpoint, seconds),
                        key=proposal.search_id,
                        timeout_seconds=left,
                        version=proposal.wanted.version,
                    )
                except VersionGone:
                    if proposal.wanted.pinned:
                        raise
                    proposal.wanted.version = ""
                    continue
                if is_over or len(missing) == before:
                    return
        finally:
            self._give_back(proposal.search_id, missing)

    def _give_back(self, search_id: str, missing: set[int]) -> None:
        places = len(missing)
        missing.clear()
        self._gate.leave(search_id, places)

    async def _draw(
        self, proposal: "_Proposal", missing: set[int], endpoint: Endpoint, seconds: float
    ) -> bool:
        """Draw the first row of missing indices; whether the time is up."""
        first = min(missing)
        count = next(n for n in range(1, len(missing) + 1) if first + n not in missing)
        stub = endpoint.stub(policy_pb2_grpc.PolicyServiceStub)
        stream = stub.Propose(proposal.request(first, count), timeout=seconds)
        had = 0
        with endpoint.carrying(count):
            try:
                while isinstance(reply := await stream.read(), pb.ProposeResponse):
                    endpoint.breaker.succeeded()
                    for one in (reply, *reply.more):
                        had += 1
                        self._take(proposal, missing, first, one)
            except grpc.aio.AioRpcError as error:
                # What has come is good; the call after this one finds out how the policy is.
                if had and error.code() in _BEGIN_AGAIN:
                    return False
                if had and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    return True
                raise
            finally:
                stream.cancel()
        return False

    def _take(
        self, proposal: "_Proposal", missing: set[int], first: int, reply: pb.ProposeResponse
    ) -> None:
        """Hand over a candidate of a call that began with index `first`."""
        index = first + reply.index
        if index in missing:
            missing.discard(index)
            self._gate.leave(proposal.search_id)
            reply.index = index
            proposal.on_candidate(reply)


@dataclass(frozen=True, slots=True)
class _Proposal:
    """One call of `propose`."""

    search_id: str
    problem: str
    steps: Sequence[Step]
    sampling: Sampling
    on_candidate: OnCandidate
    wanted: Wanted

    def request(self, first: int, count: int) -> pb.ProposeRequest:
        """The request for `count` candidates from index `first` on: seeds count up with indices."""
        return pb.ProposeRequest(
            search_id=self.search_id,
            problem=self.problem,
            steps=[
                pb.Step(text=s.text, ends_code=s.ends_code, output=s.output) for s in self.steps
            ],
            count=count,
            model_version=self.wanted.version,
            sampling=pb.Sampling(
                temperature=self.sampling.temperature,
                max_tokens=self.sampling.max_tokens,
                seed=self.sampling.seed + first,
                max_steps=self.sampling.max_steps,
            ),
            takes_more=True,
        )


def _raise_first(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Raise what one of the tasks that are done has failed with."""
    for task in tasks:
        if task.done():
            task.result()
