"""Client of the sandbox service: one session a search."""

from collections.abc import Sequence

import grpc

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from services.search.clients.calls import Caller


class SandboxSession:
    """The sandbox session of one search. Errors: DependencyError, RejectedError."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        session_id: str,
        *,
        patience_seconds: float,
        step_seconds: float,
    ) -> None:
        self._stub = sandbox_pb2_grpc.SandboxServiceStub(channel)
        self._caller = Caller("sandbox", patience_seconds=patience_seconds)
        self._id = session_id
        self._limits = pb.Limits(wall_ms=round(step_seconds * 1000))

    async def open(self, timeout_seconds: float) -> None:
        """Open the session; a session that is open stays as it is."""

        async def attempt(left: float) -> pb.OpenSessionResponse:
            return await self._stub.OpenSession(
                pb.OpenSessionRequest(session_id=self._id), timeout=left
            )

        await self._caller.call(attempt, timeout_seconds=timeout_seconds)

    async def run(
        self, ancestors: Sequence[pb.CodeStep], step: pb.CodeStep, *, timeout_seconds: float
    ) -> pb.RunResponse:
        """Run one step after its ancestors.

        A sandbox that was restarted has lost the session, and only that: it is opened again, and
        the sandbox rebuilds the parent's state from the ancestors.
        """
        request = pb.RunRequest(
            session_id=self._id, step=step, ancestors=ancestors, limits=self._limits
        )

        async def attempt(left: float) -> pb.RunResponse:
            try:
                return await self._stub.Run(request, timeout=left)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
            await self.open(left)
            return await self._stub.Run(request, timeout=left)

        return await self._caller.call(attempt, timeout_seconds=timeout_seconds)

    async def close(self, timeout_seconds: float) -> None:
        """Kill what the session holds."""

        async def attempt(left: float) -> pb.CloseSessionResponse:
            return await self._stub.CloseSession(
                pb.CloseSessionRequest(session_id=self._id), timeout=left
            )

        await self._caller.call(attempt, timeout_seconds=timeout_seconds)
