"""Client of the sandbox service: one session a search."""

import asyncio
from collections.abc import Sequence

import grpc

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from services.search.clients.calls import Caller, explain
from services.search.clients.replicas import Endpoint, Limits, Replicas
from services.search.clients.run_stream import RunStream

ASSUMED = Limits(capacity=4, places=8)
"""Steps, until the sandbox has said what it takes."""

# Steps in flight for each worker: one that runs, some that wait, so that no worker does, and some
# whose answers wait for each other.
_AHEAD = 8


async def learn(channel: grpc.aio.Channel, timeout_seconds: float) -> Limits:
    """What a sandbox can carry."""
    info = await sandbox_pb2_grpc.SandboxServiceStub(channel).Info(
        pb.InfoRequest(), timeout=timeout_seconds
    )
    workers = max(1, info.workers)
    return Limits(2 * workers, min(_AHEAD * workers, workers + info.max_queue))


class SandboxSession:
    """The sandbox session of one search. Errors: DependencyError, RejectedError."""

    def __init__(
        self,
        replicas: Replicas,
        session_id: str,
        *,
        patience_seconds: float,
        step_seconds: float,
        adopted: bool = False,
    ) -> None:
        """`adopted`: whether another process has run the search before, on whichever replicas."""
        self._gate = replicas.gate
        self._caller = Caller(replicas, patience_seconds=patience_seconds)
        self._id = session_id
        self._limits = pb.Limits(wall_ms=round(step_seconds * 1000))
        self._at: set[Endpoint] = set(replicas.endpoints.values()) if adopted else set()
        """Replicas that may hold the session."""

    @property
    def is_running(self) -> bool:
        """Whether steps are under way, those that wait for the search's turn not counted."""
        return self._gate.share.held(self._id) > 0

    async def open(self, timeout_seconds: float) -> None:
        """Open the session where it will be used; a session that is open stays as it is."""

        async def attempt(endpoint: Endpoint, left: float) -> None:
            await self._open_at(endpoint, left)

        await self._caller.call(attempt, key=self._id, timeout_seconds=timeout_seconds)

    async def run(
        self, ancestors: Sequence[pb.CodeStep], step: pb.CodeStep, *, timeout_seconds: float
    ) -> pb.RunResponse:
        """Run one step after its ancestors, when it is the search's turn.

        A sandbox that was restarted, or is another replica, lacks the session, and only that: it is
        opened there, and the sandbox rebuilds the parent's state from the ancestors.
        """
        request = pb.RunRequest(
            session_id=self._id, step=step, ancestors=ancestors, limits=self._limits
        )

        async def attempt(endpoint: Endpoint, left: float) -> pb.RunResponse:
            runs = endpoint.stub(RunStream)
            with endpoint.carrying():
                if endpoint in self._at:
                    try:
                        return await runs.run(request, timeout_seconds=left)
                    except grpc.aio.AioRpcError as error:
                        if error.code() is not grpc.StatusCode.NOT_FOUND:
                            raise
                await self._open_at(endpoint, left)
                return await runs.run(request, timeout_seconds=left)

        await self._gate.enter(self._id)
        try:
            return await self._caller.call(attempt, key=self._id, timeout_seconds=timeout_seconds)
        finally:
            self._gate.leave(self._id)

    async def close(self, timeout_seconds: float) -> None:
        """Kill what the session holds; where that fails, it expires there by itself."""
        request = pb.CloseSessionRequest(session_id=self._id)
        stubs = [one.stub(sandbox_pb2_grpc.SandboxServiceStub) for one in self._at]
        closing = [stub.CloseSession(request, timeout=timeout_seconds) for stub in stubs]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, grpc.aio.AioRpcError):
                raise explain("sandbox", outcome)
            if isinstance(outcome, BaseException):
                raise outcome

    async def _open_at(self, endpoint: Endpoint, timeout_seconds: float) -> None:
        # Noted first: a call that is cut off may have opened it all the same.
        self._at.add(endpoint)
        stub = endpoint.stub(sandbox_pb2_grpc.SandboxServiceStub)
        await stub.OpenSession(pb.OpenSessionRequest(session_id=self._id), timeout=timeout_seconds)
