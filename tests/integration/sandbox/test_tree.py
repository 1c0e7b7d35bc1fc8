"""The fork tree: what is kept, what is made again, what is stopped and what is gone."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox import usage
from tests.integration.sandbox.test_service import zygotes
from tests.support.sandbox_server import CALL_SECONDS, serving, status, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAIN = ["x = [0]", "x.append(1)", "x.append(2)", "x.append(3)"]
STOPPED = "T"


async def grow(session, steps=CHAIN):
    """Run a chain of steps, each after those before it."""
    return [await session.run(step, steps[:depth]) for depth, step in enumerate(steps)]


async def test_a_step_runs_in_a_fork_of_its_parent(tree, session):
    results = await grow(session)
    assert [result.timings.replayed_steps for result in results] == [0, 0, 0, 0]
    result = await session.run("x", CHAIN)
    assert (result.output, result.timings.replayed_steps) == ("[0, 1, 2, 3]\n", 0)


async def test_ancestors_that_are_not_there_are_run_again(session):
    result = await session.run("x", CHAIN)
    assert result.output == "[0, 1, 2, 3]\n"
    assert result.timings.replayed_steps == 4


async def test_a_changed_ancestor_is_another_state(session):
    await grow(session)
    result = await session.run("x", [CHAIN[0], "x.append(9)"])
    assert result.output == "[0, 9]\n"


async def test_children_of_one_node_start_from_the_same_state(session):
    await grow(session)
    results = await asyncio.gather(
        *(session.run(f"x.append({i}); x", CHAIN, node=f"c{i}") for i in range(8))
    )
    assert [result.output for result in results] == [f"[0, 1, 2, 3, {i}]\n" for i in range(8)]


async def test_generators_and_functions_live_on(session):
    steps = ["g = (i * i for i in range(10)); next(g)", "next(g); next(g)"]
    await grow(session, steps)
    for node in ("a", "b"):
        assert (await session.run("next(g)", steps, node=node)).output == "9\n"


async def test_a_failed_step_leaves_its_parent_as_it_was(tree, session):
    await grow(session)
    for code in ("x.clear(); 1/0", "x.clear(); import os; os._exit(1)"):
        assert (await session.run(code, CHAIN)).status != pb.STATUS_OK
    result = await session.run("x", CHAIN)
    assert (result.output, result.timings.replayed_steps) == ("[0, 1, 2, 3]\n", 0)


async def test_kept_states_are_stopped(tree, server, session):
    before = server.descendants()
    await grow(session)
    kept = server.descendants() - before
    await until(lambda: sum(status(pid)[0] == STOPPED for pid in kept) >= len(CHAIN))


async def test_a_killed_state_is_made_again(server, session):
    before = server.descendants()
    await grow(session)
    for pid in server.descendants() - before:
        os.kill(pid, signal.SIGKILL)
    result = await session.run("x", CHAIN)
    assert result.output == "[0, 1, 2, 3]\n"


async def test_a_closed_session_leaves_no_process(tree, server):
    before = server.descendants()
    async with server.session() as session:
        await grow(session)
        assert len(server.descendants() - before) > len(CHAIN)
    await until(lambda: server.descendants() <= before)


async def test_a_caller_who_leaves_amid_forks_leaves_nothing_behind(server):
    before = server.descendants()
    async with server.session() as session:
        for pause in range(20):
            call = server.stub.Run(session.request("x = 1", ["y = 2"], node=f"c{pause}"))
            await asyncio.sleep(pause / 2000)
            call.cancel()
        assert (await session.run("y", ["y = 2"])).output == "2\n"
    await until(lambda: server.descendants() <= before)


async def test_the_least_used_states_go_when_there_are_too_many():
    async with serving(max_snapshots=3, drain_seconds=1) as server, server.session() as session:
        results = await grow(session)
        assert all(result.status == pb.STATUS_OK for result in results)
        assert (await session.run("x", CHAIN)).output == "[0, 1, 2, 3]\n"
        # The zygotes, the session's root and the states that are kept.
        await until(lambda: len(server.descendants()) <= 2 + 1 + 3)
        assert (await session.run("x", CHAIN[:1])).output == "[0]\n"


@pytest.mark.parametrize(
    "code",
    [
        "x = 1",
        "x = [float(i) for i in range(200_000)]",
        "x = bytearray(b'1' * 20_000_000)",
        # On huge pages, which numpy asks for.
        "import numpy as np\nx = np.ones(8_000_000)",
        "import sympy\nx = sympy.expand((sympy.Symbol('t') + 1)**200)",
    ],
)
async def test_a_state_is_reckoned_to_hold_at_least_what_it_holds(tree, server, session, code):
    await session.run("0", ["# numpy"])
    await session.run("0")
    light, full = zygotes(server.process.pid)
    before = server.descendants()
    result = await session.run(code, node="big")
    (state,) = server.descendants() - before
    zygote = light if result.interpreter == pb.INTERPRETER_LIGHT else full
    held = private_bytes(state)
    reckoned = usage.snapshot_bytes(state, usage.anonymous_bytes(zygote))
    assert held <= reckoned <= 3 * held + 8 * 2**20


def private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(kib) * 1024


async def test_without_the_tree_every_step_is_replayed():
    async with (
        serving(mode="fork-replay", drain_seconds=1) as server,
        server.session() as session,
    ):
        assert (await server.stub.Info(pb.InfoRequest())).mode == "fork-replay"
        await grow(session)
        result = await session.run("x", CHAIN)
        assert (result.output, result.timings.replayed_steps) == ("[0, 1, 2, 3]\n", 4)
        result = await session.run("import os; os.fork()", CHAIN)
        assert result.error.type == "PermissionError"


async def test_less_isolation_than_required_is_refused():
    with pytest.raises(RuntimeError, match="mode fork-tree"):
        async with serving("--require", "full", mode="fork-replay"):
            pass


# A step whose interpreter stays in the tree, but no longer does what it is asked to.
DEAF = """
import services.sandbox.node as node
node.Node._run = lambda *arguments: None
node.Node._divide = lambda *arguments: None
"""


async def test_a_state_that_stops_obeying_harms_only_its_own_descendants(server, session):
    await grow(session)
    steps = [pb.CodeStep(node_id=f"n{i}", code=code) for i, code in enumerate(CHAIN)]
    assert (await session.run(DEAF, CHAIN, node="deaf")).status == pb.STATUS_OK
    below = pb.RunRequest(
        session_id=session.name,
        step=pb.CodeStep(node_id="below", code="x"),
        ancestors=[*steps, pb.CodeStep(node_id="deaf", code=DEAF)],
        limits=pb.Limits(wall_ms=500),
    )
    result = await server.stub.Run(below, timeout=CALL_SECONDS)
    assert result.status in (pb.STATUS_REJECTED, pb.STATUS_TIMEOUT)
    assert (await session.run("x", CHAIN, node="good")).output == "[0, 1, 2, 3]\n"


# A step after which a fork makes a process that does not report and does not end.
HIDING = """
import services.sandbox.node as node
def divide(self, channel):
    if self._fork() == 0:
        while True: pass
node.Node._divide = divide
"""


async def test_a_hidden_process_goes_with_its_session(tree, server):
    before = server.descendants()
    async with server.session() as session:
        assert (await session.run(HIDING)).status == pb.STATUS_OK
        steps = [pb.CodeStep(node_id="n0", code=HIDING)]
        below = pb.RunRequest(
            session_id=session.name, step=pb.CodeStep(node_id="n1", code="1"), ancestors=steps
        )
        result = await server.stub.Run(below, timeout=CALL_SECONDS)
        assert result.status == pb.STATUS_REJECTED
        # Once given up, nothing of it runs on beside the root, if that.
        assert (await session.run("2", node="good")).output == "2\n"
    await until(lambda: server.descendants() <= before)
