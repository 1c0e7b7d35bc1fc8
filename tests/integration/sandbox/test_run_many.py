"""Many steps over one call."""

import asyncio

import grpc
import pytest

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from tests.support.sandbox_server import CALL_SECONDS, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPIN = "while True: pass"


def request(number, run):
    return pb.RunManyRequest(id=number, run=run)


async def answers(call) -> dict[int, pb.RunManyResponse]:
    await call.done_writing()
    return {one.id: one async for answer in call for one in (answer, *answer.more)}


async def test_each_step_gets_its_own_answer(server, session):
    call = server.stub.RunMany(timeout=CALL_SECONDS)
    for number in range(20):
        await call.write(
            request(number, session.request(f"{number} * x", ["x = 3"], node=f"c{number}"))
        )
    found = await answers(call)
    assert {n: answer.response.output for n, answer in found.items()} == {
        n: f"{3 * n}\n" for n in range(20)
    }


async def test_a_fast_step_does_not_wait_for_a_slow_one(server, session):
    call = server.stub.RunMany(timeout=CALL_SECONDS)
    await call.write(request(1, session.request(SPIN, node="slow", wall_ms=1500)))
    await call.write(request(2, session.request("6 * 7", node="fast")))
    first, second = await call.read(), await call.read()
    assert (first.id, first.response.output) == (2, "42\n")
    assert (second.id, second.response.status) == (1, pb.STATUS_TIMEOUT)
    call.cancel()


async def test_runs_and_answers_may_go_together(server, session):
    call = server.stub.RunMany(timeout=CALL_SECONDS)
    runs = [
        request(number, session.request(f"{number} * x", ["x = 3"], node=f"c{number}"))
        for number in range(20)
    ]
    runs[0].more.extend(runs[1:])
    runs[0].gather_ms = 100
    await call.write(runs[0])
    await call.done_writing()
    messages = [answer async for answer in call]
    found = {one.id: one for answer in messages for one in (answer, *answer.more)}
    assert {n: answer.response.output for n, answer in found.items()} == {
        n: f"{3 * n}\n" for n in range(20)
    }
    assert len(messages) < 20
    assert all(answer.takes_more for answer in messages)


async def test_what_goes_along_may_take_nothing_along(server, session):
    call = server.stub.RunMany(timeout=CALL_SECONDS)
    nested = request(1, session.request("1", node="a"))
    nested.more.append(request(2, session.request("2", node="b")))
    nested.more[0].more.append(request(3, session.request("3", node="c")))
    await call.write(nested)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await answers(call)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith("more: ")


async def test_a_refused_run_is_answered_and_the_others_go_on(server, session):
    call = server.stub.RunMany(timeout=CALL_SECONDS)
    unknown = pb.RunRequest(session_id="nobody", step=pb.CodeStep(node_id="n", code="1"))
    await call.write(request(1, unknown))
    await call.write(request(2, pb.RunRequest(session_id="a b")))
    await call.write(request(3, session.request("1")))
    found = await answers(call)
    assert found[1].failure.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert found[2].failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert found[2].failure.details.startswith("session_id: ")
    assert found[3].response.output == "1\n"


async def test_a_cancelled_run_is_killed_and_never_answered(server, session):
    await session.run("1")
    before = server.descendants()
    call = server.stub.RunMany(timeout=CALL_SECONDS)
    await call.write(request(1, session.request(SPIN, node="spin")))
    await until(lambda: server.descendants() - before)
    await call.write(pb.RunManyRequest(id=1, cancel=True))
    await until(lambda: server.descendants() <= before)
    await call.write(request(2, session.request("2", node="two")))
    assert set(await answers(call)) == {2}


async def test_who_leaves_takes_all_runs_along(server, session):
    await session.run("1")
    before = server.descendants()
    call = server.stub.RunMany(timeout=CALL_SECONDS)
    for number in range(2):
        await call.write(request(number, session.request(SPIN, node=f"spin{number}")))
    await until(lambda: len(server.descendants() - before) == 2)
    call.cancel()
    await until(lambda: server.descendants() <= before)


async def test_an_id_in_use_ends_the_call(server, session):
    call = server.stub.RunMany(timeout=CALL_SECONDS)
    for node in ("a", "b"):
        await call.write(request(1, session.request(SPIN, node=node)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_more_runs_than_the_queue_holds_wait_on_the_wire():
    async with (
        serving(workers=1, max_queue=2, drain_seconds=1) as server,
        server.session() as session,
    ):
        call = server.stub.RunMany(timeout=CALL_SECONDS)

        async def ask():
            for number in range(40):
                await call.write(request(number, session.request("1", node=f"c{number}")))
            await call.done_writing()

        asking = asyncio.create_task(ask())
        found = {answer.id: answer async for answer in call}
        await asking
        assert len(found) == 40
        # As text: what a failure was is then in the report.
        assert {
            str(answer) for answer in found.values() if answer.response.output != "1\n"
        } == set()
