"""Light and full interpreters: which one runs a step, and that it makes no difference."""

import pytest

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from tests.support.sandbox_server import serving, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIGHT, FULL = pb.INTERPRETER_LIGHT, pb.INTERPRETER_FULL


@pytest.mark.parametrize(
    ("code", "interpreter"),
    [
        ("import math, fractions\nmath.gcd(12, 18)", LIGHT),
        ("from decimal import Decimal\nDecimal(1) / 3", LIGHT),
        ("import sympy\nsympy.factorint(12)", FULL),
        ("# as numpy does\n1", FULL),
        ("__import__('sym' + 'py').Integer(7)", FULL),
        ("import pickle; pickle.dumps(1)", FULL),
    ],
)
async def test_a_step_runs_in_the_smallest_interpreter_that_will_do(session, code, interpreter):
    result = await session.run(code)
    assert (result.status, result.interpreter) == (pb.STATUS_OK, interpreter)


async def test_a_path_moves_to_the_full_interpreter_with_all_it_holds(session):
    steps = ["x = [1]", "x.append(2)", "m = __import__('mp' + 'math')", "x.append(3)"]
    kinds = []
    for depth, step in enumerate(steps):
        result = await session.run(step, steps[:depth])
        assert result.status == pb.STATUS_OK
        kinds.append(result.interpreter)
    assert kinds == [LIGHT, LIGHT, FULL, FULL]
    assert (await session.run("x, m.mpf(1)", steps)).output == "([1, 2, 3], mpf('1.0'))\n"
    # The state before stays as it was, and where it was.
    result = await session.run("x", steps[:2], node="aside")
    assert (result.output, result.interpreter) == ("[1, 2]\n", LIGHT)


@pytest.mark.parametrize(
    "code",
    [
        "import nothing_of_this_name",
        "try:\n    import nothing_of_this_name\nexcept ImportError as e:\n    print(type(e), e)",
        "import importlib.util\nimportlib.util.find_spec('scipy')",
        "import math.pi",
        "import random\n[random.random(), random.randint(1, 9), random.sample(range(99), 5)]",
        "str(10**5000)",
        "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nf(900), f(5000)",
        "[1e16 + 1, 0.1 + 0.2, round(2.5), 7 // -2, 2**0.5]",
        "{'b', 'a', 'c'}, hash('a')",
        "import statistics, datetime\nstatistics.mean([1, 2]), datetime.date(2024, 2, 29)",
        "import sys\nsys.getrecursionlimit(), sys.get_int_max_str_digits(), sys.flags",
    ],
)
async def test_both_kinds_give_the_same_result(server, session, code):
    light = await session.run(code, node="n")
    # The same node, moved by a word that does nothing.
    full = await session.run(code + "\n# numpy", node="n")
    assert full.interpreter == FULL
    assert (light.status, light.output, light.error) == (full.status, full.output, full.error)


async def test_a_full_interpreter_cannot_ask_for_more(session):
    code = """
import gc, numpy, services.sandbox.node as node
next(o for o in gc.get_objects() if type(o) is node.Node).give_up()
"""
    result = await session.run(code)
    assert (result.status, result.interpreter) == (pb.STATUS_KILLED, FULL)


async def test_without_light_ones_every_step_is_run_in_full():
    async with serving(light=False, drain_seconds=1) as server, server.session() as session:
        assert (await session.run("1")).interpreter == FULL
        assert len([pid for pid in server.descendants() if status(pid)]) >= 2


async def test_the_replay_mode_moves_steps_too():
    async with (
        serving(mode="fork-replay", drain_seconds=1) as server,
        server.session() as session,
    ):
        assert (await session.run("x", ["x = 4"])).interpreter == LIGHT
        result = await session.run("y", ["x = 4", "y = __import__('sym' + 'py').Integer(x)"])
        assert (result.output, result.interpreter) == ("4\n", FULL)
