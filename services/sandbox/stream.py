"""Many runs over one call: reads requests, answers each as it ends, in whatever order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import grpc

from services.common import logs, rpc, tracing
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox.answers import Answers

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
        workers: runs that are worked on at once.
    """

    def __init__(self, call: Call, run: Run, most: int, workers: int) -> None:
        self._call = call
        self._run = run
        self._room = asyncio.Semaphore(most)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._running: set[int] = set()
        self._answers = Answers(call.write, lambda: len(self._running) > workers)

    async def serve(self) -> None:
        """Serve until the caller has said its last and has all answers.

        If it leaves before that, this is cancelled, and cancels every run in progress.
        rpc.InvalidField where a request reuses the id of a run in progress, or where what it
        holds holds more.
        """
        end = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
        try:
            while (request := await self._call.read()) is not end:
                self._answers.gather(request.gather_ms)
                await self._take(request)
                for further in request.more:
                    if further.more:
                        raise rpc.InvalidField("more", "what it holds may hold no more")
                    await self._take(further)
            while self._tasks:
                await asyncio.wait(self._tasks.values())
            await self._answers.flush()
        finally:
            self._answers.close()
            for task in self._tasks.values():
                task.cancel()

    async def _take(self, request: pb.RunManyRequest) -> None:
        if request.WhichOneof("what") == "cancel":
            self._cancel(request.id)
        else:
            await self._begin(request)

    async def _begin(self, request: pb.RunManyRequest) -> None:
        number = request.id
        if number in self._tasks:
            raise rpc.InvalidField("id", f"{number} is in progress already")
        await self._room.acquire()
        self._running.add(number)
        task = asyncio.create_task(self._answer(request))
        self._tasks[number] = task
        task.add_done_callback(lambda done: self._end(number, done))

    def _end(self, number: int, task: "asyncio.Task[None]") -> None:
        del self._tasks[number]
        self._running.discard(number)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The caller, whose connection it was, has left.
            log.debug("an answer could not be sent", error=str(error))

    def _cancel(self, number: int) -> None:
        # One that has ended may be sending the answers of others along with its own.
        if number in self._running:
            self._tasks[number].cancel()

    async def _answer(self, request: pb.RunManyRequest) -> None:
        with tracing.span_under(request.traceparent, "run", node=request.run.step.node_id):
            answer = await self._outcome(request.id, request.run)
        self._running.discard(request.id)
        await self._answers.send(answer)

    async def _outcome(self, number: int, request: pb.RunRequest) -> pb.RunManyResponse:
        try:
            response = await self._run(request)
        except rpc.StatusError as error:
            failure = _failure(error.code, error.details)
        except Exception as error:
            log.exception("run failed", kind=type(error).__name__)
            details = f"internal error in RunMany: {type(error).__name__}"
            failure = _failure(grpc.StatusCode.INTERNAL, details)
        else:
            return pb.RunManyResponse(id=number, response=response, takes_more=True)
        return pb.RunManyResponse(id=number, failure=failure, takes_more=True)


def _failure(code: grpc.StatusCode, details: str) -> pb.RunFailure:
    number: int = code.value[0]
    retry_ms = RETRY_MS if code == grpc.StatusCode.RESOURCE_EXHAUSTED else 0
    return pb.RunFailure(code=number, details=details, retry_ms=retry_ms)
