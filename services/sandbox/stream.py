"""Many runs over one call: reads requests, answers each as it ends, in whatever order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import grpc

from services.common import logs, rpc
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb

log = logs.get(__name__)

RETRY_MS: Final = 250

Run = Callable[[pb.RunRequest], Awaitable[pb.RunResponse]]


class Call(Protocol):
    """What is needed of a gRPC call that streams both ways."""

    async def read(self) -> Any:
        """The next request; grpc.aio.EOF after the last one."""

    async def write(self, message: pb.RunManyResponse, /) -> None:
        """Send a response; one at a time."""


class RunStream:
    """One call's runs.

    Args:
        call: the call.
        run: runs one step; rpc.StatusError where it cannot.
        most: runs in progress; while there are so many, no more requests are read.
    """

    def __init__(self, call: Call, run: Run, most: int) -> None:
        self._call = call
        self._run = run
        self._room = asyncio.Semaphore(most)
        self._writing = asyncio.Lock()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Serve until the caller has said its last and has all answers.

        If it leaves before that, this is cancelled, and cancels every run in progress.
        rpc.InvalidField where a request reuses the id of a run in progress.
        """
        end = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
        try:
            while (request := await self._call.read()) is not end:
                if request.WhichOneof("what") == "cancel":
                    self._cancel(request.id)
                else:
                    await self._begin(request)
            while self._tasks:
                await asyncio.wait(self._tasks.values())
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _begin(self, request: pb.RunManyRequest) -> None:
        if request.id in self._tasks:
            raise rpc.InvalidField("id", f"{request.id} is in progress already")
        await self._room.acquire()
        task = asyncio.create_task(self._answer(request.id, request.run))
        self._tasks[request.id] = task
        task.add_done_callback(lambda done: self._end(request.id, done))

    def _end(self, number: int, task: "asyncio.Task[None]") -> None:
        del self._tasks[number]
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Only its own answer is lost: the caller, whose connection it was, has left.
            log.debug("an answer could not be sent", error=str(error))

    def _cancel(self, number: int) -> None:
        task = self._tasks.get(number)
        if task is not None:
            task.cancel()

    async def _answer(self, number: int, request: pb.RunRequest) -> None:
        try:
            answer = pb.RunManyResponse(id=number, response=await self._run(request))
        except rpc.StatusError as error:
            answer = pb.RunManyResponse(id=number, failure=_failure(error.code, error.details))
        except Exception as error:
            log.exception("run failed", error=str(error))
            details = f"internal error in RunMany: {type(error).__name__}"
            internal = _failure(grpc.StatusCode.INTERNAL, details)
            answer = pb.RunManyResponse(id=number, failure=internal)
        async with self._writing:
            await self._call.write(answer)


def _failure(code: grpc.StatusCode, details: str) -> pb.RunFailure:
    number: int = code.value[0]
    retry_ms = RETRY_MS if code == grpc.StatusCode.RESOURCE_EXHAUSTED else 0
    return pb.RunFailure(code=number, details=details, retry_ms=retry_ms)
