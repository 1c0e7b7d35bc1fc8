"""Runs of one sandbox replica over one long call, which costs less than a call a step."""

import asyncio
import contextvars
import itertools
from typing import Any, cast

import grpc

from services.common import tracing
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RunStream:
    """Sends the runs of all searches over one RunMany call, which is opened when it is needed.

    A replica that does not know RunMany gets a call a run.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = sandbox_pb2_grpc.SandboxServiceStub(channel)
        self._numbers = itertools.count(1)
        self._call: _Call | None = None
        self._is_known = True

    async def run(self, request: pb.RunRequest, *, timeout_seconds: float) -> pb.RunResponse:
        """Run one step; grpc.aio.AioRpcError as Run raises it.

        Leaving the call cancels the run.
        """
        # A trace goes along with a call, not with a message.
        if not self._is_known or tracing.trace_id():
            return await self._stub.Run(request, timeout=timeout_seconds)
        if self._call is None or self._call.is_over:
            self._call = _Call(self._stub)
        call = self._call
        try:
            async with asyncio.timeout(timeout_seconds):
                return await call.run(next(self._numbers), request)
        except TimeoutError:
            raise _error(grpc.StatusCode.DEADLINE_EXCEEDED, "the run took too long") from None
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                self._is_known = False
            elif call.has_answered or error.code() is not grpc.StatusCode.INTERNAL:
                raise
            # A server that refuses the call while it is being written to is an "internal error" to
            # gRPC. A run may be repeated, so it is asked for by a call of its own.
        return await self._stub.Run(request, timeout=timeout_seconds)


class _Call:
    """One RunMany call, from its opening to its end."""

    def __init__(self, stub: sandbox_pb2_grpc.SandboxServiceStub) -> None:
        self.is_over = False
        self.has_answered = False
        # It outlives the search that opens it, so it must not carry that one's context.
        context = contextvars.Context()
        # The stubs want an iterator of requests, which gRPC does without where they are written.
        self._stream: Any = context.run(cast("Any", stub.RunMany))
        self._waiting: dict[int, asyncio.Future[pb.RunResponse]] = {}
        self._outbox: asyncio.Queue[pb.RunManyRequest] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write(), context=context)
        self._reader = asyncio.create_task(self._read(), context=context)

    async def run(self, number: int, request: pb.RunRequest) -> pb.RunResponse:
        """Send a run and wait for its answer."""
        answer: asyncio.Future[pb.RunResponse] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._outbox.put_nowait(pb.RunManyRequest(id=number, run=request))
        try:
            return await answer
        finally:
            if self._waiting.pop(number, None) is not None and not self.is_over:
                # Left before the answer came.
                self._outbox.put_nowait(pb.RunManyRequest(id=number, cancel=True))

    async def _write(self) -> None:
        try:
            while True:
                message = await self._outbox.get()
                if message.WhichOneof("what") == "run" and message.id not in self._waiting:
                    continue  # left before it was sent
                await self._stream.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the reader is told why
        finally:
            # Nobody may wait for an answer to what cannot be sent.
            self._stream.cancel()

    async def _read(self) -> None:
        error = _error(grpc.StatusCode.UNAVAILABLE, "the call ended")
        try:
            while isinstance(answer := await self._stream.read(), pb.RunManyResponse):
                self._settle(answer)
        except grpc.aio.AioRpcError as ended:
            error = ended
        finally:
            self.is_over = True
            self._writer.cancel()
            self._stream.cancel()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(error)
            self._waiting.clear()

    def _settle(self, answer: pb.RunManyResponse) -> None:
        self.has_answered = True
        waiting = self._waiting.pop(answer.id, None)
        if waiting is None or waiting.done():
            return
        if answer.WhichOneof("outcome") == "response":
            waiting.set_result(answer.response)
            return
        code = _CODES.get(answer.failure.code, grpc.StatusCode.UNKNOWN)
        waiting.set_exception(_error(code, answer.failure.details))


def _error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, details, None)
