"""Runs over one call: answers find their callers, failures are what Run would have raised."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest

from services.common import rpc
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from services.search.clients.run_stream import RunStream
from tests.support.scripted import serving

ADD = sandbox_pb2_grpc.add_SandboxServiceServicer_to_server


class Runs(sandbox_pb2_grpc.SandboxServiceServicer):
    """Answers each run with its code, out of turn; `fail`, `hang` and `cut` do as they say."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled: list[int] = []

    async def RunMany(  # type: ignore[override]  # noqa: N802 - the name in the contract
        self, requests: AsyncIterator[pb.RunManyRequest], context: rpc.Context
    ) -> None:
        """Answer two at a time, the later one first."""
        self.calls += 1
        held: list[pb.RunManyResponse] = []
        async for request in requests:
            code = request.run.step.code
            if request.WhichOneof("what") == "cancel":
                self.cancelled.append(request.id)
                continue
            if code == "hang":
                continue
            if code == "cut":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "restarted")
            answer = pb.RunManyResponse(id=request.id)
            if code == "fail":
                answer.failure.code, answer.failure.details = 5, "no such session"
            else:
                answer.response.output = code
            held.append(answer)
            if len(held) == 2:
                await context.write(held.pop())
                await context.write(held.pop())


class Together(sandbox_pb2_grpc.SandboxServiceServicer):
    """Answers the runs of one message in one message, once it has said that it takes many."""

    def __init__(self) -> None:
        self.messages: list[list[str]] = []

    async def RunMany(  # type: ignore[override]  # noqa: N802 - the name in the contract
        self, requests: AsyncIterator[pb.RunManyRequest], context: rpc.Context
    ) -> None:
        """Answer each message."""
        async for request in requests:
            runs = [request, *request.more]
            self.messages.append([one.run.step.code for one in runs])
            first, *more = [
                pb.RunManyResponse(
                    id=one.id, response=pb.RunResponse(output=one.run.step.code), takes_more=True
                )
                for one in runs
            ]
            first.more.extend(more)
            await context.write(first)


class Old(sandbox_pb2_grpc.SandboxServiceServicer):
    """A sandbox that only knows Run."""

    async def Run(  # noqa: N802 - the name in the contract
        self, request: pb.RunRequest, context: rpc.Context
    ) -> pb.RunResponse:
        """Answer with the code."""
        return pb.RunResponse(output=request.step.code)


@contextlib.asynccontextmanager
async def connected(servicer: object) -> AsyncIterator[RunStream]:
    """A stream to a scripted sandbox."""
    async with serving(ADD, servicer) as target, rpc.channel(target) as channel:
        yield RunStream(channel)


async def run(stream: RunStream, code: str, timeout_seconds: float = 20) -> str:
    """The output of a step."""
    request = pb.RunRequest(step=pb.CodeStep(node_id="n", code=code))
    return (await stream.run(request, timeout_seconds=timeout_seconds)).output


async def test_answers_that_come_out_of_turn_find_their_callers_over_one_call() -> None:
    runs = Runs()
    async with connected(runs) as stream:
        codes = [f"x = {i}" for i in range(100)]
        assert await asyncio.gather(*(run(stream, code) for code in codes)) == codes
        assert runs.calls == 1


async def test_a_failure_is_the_one_that_run_raises_and_concerns_nobody_else() -> None:
    async with connected(Runs()) as stream:
        good, bad = await asyncio.gather(
            run(stream, "x"), run(stream, "fail"), return_exceptions=True
        )
        assert good == "x"
        assert isinstance(bad, grpc.aio.AioRpcError)
        assert (bad.code(), bad.details()) == (grpc.StatusCode.NOT_FOUND, "no such session")


async def test_a_call_that_breaks_fails_all_its_runs_and_the_next_run_opens_another() -> None:
    runs = Runs()
    async with connected(runs) as stream:
        hung = [asyncio.create_task(run(stream, "hang")) for _ in range(3)]
        await asyncio.sleep(0)
        results = await asyncio.gather(*hung, run(stream, "cut"), return_exceptions=True)
        for one in results:
            assert isinstance(one, grpc.aio.AioRpcError)
            assert one.code() is grpc.StatusCode.UNAVAILABLE
        assert await asyncio.gather(run(stream, "a"), run(stream, "b")) == ["a", "b"]
        assert runs.calls == 2


async def test_a_run_that_is_left_or_takes_too_long_is_cancelled_over_there() -> None:
    runs = Runs()
    async with connected(runs) as stream:
        left = asyncio.create_task(run(stream, "hang"))
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await run(stream, "hang", timeout_seconds=0.2)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        async with asyncio.timeout(10):
            while len(runs.cancelled) < 2:
                await asyncio.sleep(0.01)
        assert sorted(runs.cancelled) == [1, 2]


async def test_a_sandbox_that_knows_no_such_call_gets_a_call_a_run() -> None:
    async with connected(Old()) as stream:
        assert await asyncio.gather(run(stream, "a"), run(stream, "b")) == ["a", "b"]
        assert await run(stream, "c") == "c"


async def test_runs_go_together_once_the_sandbox_has_said_that_it_takes_them() -> None:
    sandbox = Together()
    async with connected(sandbox) as stream:
        codes = [f"x = {i}" for i in range(3)]
        assert await asyncio.gather(*(run(stream, code) for code in codes)) == codes
        assert sandbox.messages[0] == codes[:1]
        sandbox.messages.clear()
        codes = [f"y = {i}" for i in range(70)]
        assert await asyncio.gather(*(run(stream, code) for code in codes)) == codes
        assert [len(one) for one in sandbox.messages] == [33, 33, 4]


async def test_messages_stay_far_below_what_grpc_takes() -> None:
    sandbox = Together()
    async with connected(sandbox) as stream:
        assert await run(stream, "x") == "x"
        large = ["x" * 700_000 for _ in range(6)]
        assert await asyncio.gather(*(run(stream, code) for code in large)) == large
        assert [len(one) for one in sandbox.messages] == [1, 2, 2, 2]
