"""Runs of one sandbox replica over one long call, which costs less than a call a step."""

import asyncio
import itertools
import time
from collections import deque
from typing import Any, Final, cast

import grpc

from services.common import tracing
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc

_CODES = {code.value[0]: code for code in grpc.StatusCode}
# So long an answer may wait for others, where the sandbox has work anyway: some light steps.
_GATHER_MS: Final = 25
# What goes together in one message at most: far below what gRPC takes.
_MOST_TOGETHER: Final = 32
_MOST_BYTES: Final = 1024 * 1024
# How often runs are looked at whose time may be up: a caller's own clock ends them before.
_LOOK_SECONDS: Final = 0.25


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

        Leaving the call cancels the run. Time that is up may be noticed a little later.
        """
        if not self._is_known:
            return await self._stub.Run(request, timeout=timeout_seconds)
        if self._call is None or self._call.is_over:
            self._call = _Call(self._stub)
        call = self._call
        try:
            return await call.run(next(self._numbers), request, timeout_seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                self._is_known = False
            elif call.has_answered or error.code() is not grpc.StatusCode.INTERNAL:
                raise
            # A server that refuses the call while it is being written to is an "internal error" to
            # gRPC. A run may be repeated, so it is asked for by a call of its own.
        return await self._stub.Run(request, timeout=timeout_seconds)


class _Run:
    """A run that waits for its answer, until `deadline` in monotonic seconds."""

    __slots__ = ("answer", "deadline")

    def __init__(self, timeout_seconds: float) -> None:
        self.answer: asyncio.Future[pb.RunResponse] = asyncio.get_running_loop().create_future()
        self.deadline = time.monotonic() + timeout_seconds


class _Call:
    """One RunMany call, from its opening to its end."""

    def __init__(self, stub: sandbox_pb2_grpc.SandboxServiceStub) -> None:
        self.is_over = False
        self.has_answered = False
        self._takes_more = False
        # It outlives the search that opens it, so it must not be in that one's trace.
        context = tracing.untraced()
        # The stubs want an iterator of requests, which gRPC does without where they are written.
        self._stream: Any = context.run(cast("Any", stub.RunMany))
        self._waiting: dict[int, _Run] = {}
        self._outbox: deque[pb.RunManyRequest] = deque()
        self._has_mail = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._writer = asyncio.create_task(self._write(), context=context)
        self._reader = asyncio.create_task(self._read(), context=context)

    async def run(
        self, number: int, request: pb.RunRequest, timeout_seconds: float
    ) -> pb.RunResponse:
        """Send a run and wait for its answer."""
        waiting = self._waiting[number] = _Run(timeout_seconds)
        self._post(
            pb.RunManyRequest(
                id=number, run=request, gather_ms=_GATHER_MS, traceparent=tracing.traceparent()
            )
        )
        self._look_later()
        try:
            return await waiting.answer
        finally:
            if self._waiting.pop(number, None) is not None and not self.is_over:
                # Left before the answer came.
                self._post(pb.RunManyRequest(id=number, cancel=True, gather_ms=_GATHER_MS))

    def _post(self, message: pb.RunManyRequest) -> None:
        self._outbox.append(message)
        self._has_mail.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._has_mail.wait()
                while (message := self._next()) is not None:
                    size = message.ByteSize() if self._takes_more else _MOST_BYTES
                    # What waits by now goes along.
                    while size < _MOST_BYTES and len(message.more) < _MOST_TOGETHER:
                        if (further := self._next()) is None:
                            break
                        size += further.ByteSize()
                        message.more.append(further)
                    await self._stream.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the reader is told why
        finally:
            # Nobody may wait for an answer to what cannot be sent.
            self._stream.cancel()

    def _next(self) -> pb.RunManyRequest | None:
        """The next message that is still worth sending; None while there is none."""
        while self._outbox:
            message = self._outbox.popleft()
            # A run may be left before it was sent.
            if message.id in self._waiting or message.WhichOneof("what") == "cancel":
                return message
        self._has_mail.clear()
        return None

    async def _read(self) -> None:
        error = _error(grpc.StatusCode.UNAVAILABLE, "the call ended")
        try:
            while isinstance(answer := await self._stream.read(), pb.RunManyResponse):
                self.has_answered = True
                self._takes_more = answer.takes_more
                self._settle(answer)
                for further in answer.more:
                    self._settle(further)
        except grpc.aio.AioRpcError as ended:
            error = ended
        finally:
            self.is_over = True
            if self._timer is not None:
                self._timer.cancel()
            self._writer.cancel()
            self._stream.cancel()
            for waiting in self._waiting.values():
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            self._waiting.clear()

    def _settle(self, answer: pb.RunManyResponse) -> None:
        waiting = self._waiting.pop(answer.id, None)
        if waiting is None or waiting.answer.done():
            return
        if answer.WhichOneof("outcome") == "response":
            waiting.answer.set_result(answer.response)
            return
        code = _CODES.get(answer.failure.code, grpc.StatusCode.UNKNOWN)
        waiting.answer.set_exception(_error(code, answer.failure.details))

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._end_late)

    def _end_late(self) -> None:
        """End the runs whose time is up; one timer for all costs less than one for each."""
        self._timer = None
        now = time.monotonic()
        for waiting in self._waiting.values():
            if waiting.deadline <= now and not waiting.answer.done():
                late = _error(grpc.StatusCode.DEADLINE_EXCEEDED, "the run took too long")
                waiting.answer.set_exception(late)
        if self._waiting:
            self._look_later()


def _error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, details, None)
