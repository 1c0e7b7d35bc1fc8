"""The gRPC service: checks requests, hands them to the warden, names what goes wrong."""

import re
from collections.abc import AsyncIterator
from typing import Final

import grpc

from services.common import rpc
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from services.sandbox.sessions import TooManySessions
from services.sandbox.settings import SandboxSettings
from services.sandbox.step import Limits, Step
from services.sandbox.stream import RETRY_MS, RunStream
from services.sandbox.warden import SessionClosed, Warden
from services.sandbox.workers import QueueFull

NAME: Final = pb.DESCRIPTOR.services_by_name["SandboxService"].full_name

_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NODE_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MIB: Final = 1024 * 1024
# What gRPC clients with a retry policy read to learn when to try again (proposal A6).
_RETRY_HINT: Final = (("grpc-retry-pushback-ms", str(RETRY_MS)),)


class SandboxService(sandbox_pb2_grpc.SandboxServiceServicer):
    """SandboxService over a warden."""

    def __init__(self, warden: Warden, settings: SandboxSettings) -> None:
        self._warden = warden
        self._settings = settings

    @rpc.unary
    async def Info(self, request: pb.InfoRequest, context: rpc.Context) -> pb.InfoResponse:  # noqa: N802 - the contract's name
        """The mode and limits of this server."""
        return self._warden.info

    @rpc.unary
    async def OpenSession(  # noqa: N802 - the contract's name
        self, request: pb.OpenSessionRequest, context: rpc.Context
    ) -> pb.OpenSessionResponse:
        """Reserve room for a search."""
        session = _session_id(request.session_id)
        try:
            self._warden.sessions.open(session)
        except TooManySessions as error:
            context.set_trailing_metadata(_RETRY_HINT)
            raise _exhausted(f"sessions: {error}") from error
        return pb.OpenSessionResponse()

    @rpc.unary
    async def CloseSession(  # noqa: N802 - the contract's name
        self, request: pb.CloseSessionRequest, context: rpc.Context
    ) -> pb.CloseSessionResponse:
        """Kill every process of a session."""
        self._warden.close_session(_session_id(request.session_id))
        return pb.CloseSessionResponse()

    @rpc.unary
    async def Run(self, request: pb.RunRequest, context: rpc.Context) -> pb.RunResponse:  # noqa: N802 - the contract's name
        """Run a step after its ancestors."""
        try:
            return await self._run(request)
        except rpc.StatusError as error:
            if error.code == grpc.StatusCode.RESOURCE_EXHAUSTED:
                context.set_trailing_metadata(_RETRY_HINT)
            raise

    # Not a generator, since answers do not come in turn with requests: it writes to the call.
    @rpc.unary
    async def RunMany(  # type: ignore[override]  # noqa: N802 - the contract's name
        self, requests: AsyncIterator[pb.RunManyRequest], context: rpc.Context
    ) -> None:
        """Run steps as they are asked for."""
        most = self._settings.workers + self._settings.max_queue
        await RunStream(context, self._run, most, self._settings.workers).serve()

    async def _run(self, request: pb.RunRequest) -> pb.RunResponse:
        session = _session_id(request.session_id)
        ancestors = self._ancestors(request, session)
        step = self._step(request.step, session, "step")
        limits = self._limits(request.limits)
        try:
            return await self._warden.run(step, ancestors, limits)
        except SessionClosed as error:
            raise rpc.StatusError(
                grpc.StatusCode.NOT_FOUND, f"session_id: {session} is not open here"
            ) from error
        except QueueFull as error:
            raise _exhausted(f"queue: {error}") from error
        except OSError as error:
            # The zygote is lost (ZygoteLost), or the machine gives no process or descriptor.
            raise rpc.StatusError(grpc.StatusCode.UNAVAILABLE, str(error)) from error

    def _ancestors(self, request: pb.RunRequest, session: str) -> list[Step]:
        most = self._settings.max_ancestors
        if len(request.ancestors) > most:
            raise rpc.InvalidField(
                "ancestors", f"at most {most} steps, not {len(request.ancestors)}"
            )
        return [
            self._step(step, session, f"ancestors[{number}]")
            for number, step in enumerate(request.ancestors)
        ]

    def _step(self, step: pb.CodeStep, session: str, field: str) -> Step:
        if not _NODE_ID.fullmatch(step.node_id):
            raise rpc.InvalidField(
                f"{field}.node_id", "must be 1 to 64 characters of [A-Za-z0-9_.-]"
            )
        most = self._settings.max_code_bytes
        size = len(step.code.encode())
        if size > most:
            raise rpc.InvalidField(f"{field}.code", f"at most {most} bytes of UTF-8, not {size}")
        return Step(session, step.node_id, step.code)

    def _limits(self, asked: pb.Limits) -> Limits:
        settings = self._settings
        wall_ms = _within("limits.wall_ms", asked.wall_ms, settings.max_wall_ms)
        memory = _within("limits.memory_mib", asked.memory_mib, settings.max_memory_mib)
        output = _within("limits.output_bytes", asked.output_bytes, settings.max_output_bytes)
        return Limits(wall_ms / 1000, memory * _MIB, output)


def _session_id(session: str) -> str:
    if not _SESSION_ID.fullmatch(session):
        raise rpc.InvalidField("session_id", "must be 1 to 64 characters of [A-Za-z0-9_-]")
    return session


def _within(field: str, asked: int, most: int) -> int:
    if asked > most:
        raise rpc.InvalidField(field, f"at most {most}, not {asked}")
    return asked or most


def _exhausted(details: str) -> rpc.StatusError:
    return rpc.StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, details)
