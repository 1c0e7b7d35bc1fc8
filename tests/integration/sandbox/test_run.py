"""What a step does and what comes back."""

import asyncio

import pytest

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Writes to whatever is open.
FORGE = """
import contextlib, os
for descriptor in range(3, 32):
    with contextlib.suppress(OSError):
        os.write(descriptor, b"forged")
"""


async def test_state_of_the_ancestors_is_there(session):
    ancestors = ["import sympy\nx = sympy.Symbol('x')", "def f(a): return sympy.expand(a * x)"]
    result = await session.run("f(x + 2)", ancestors)
    assert (result.status, result.output) == (pb.STATUS_OK, "x**2 + 2*x\n")


async def test_only_the_step_s_own_output_comes_back(session):
    result = await session.run("print('mine')", ["print('theirs')"])
    assert result.output == "mine\n"


async def test_siblings_do_not_see_each_other(session):
    for node in ("a", "b"):
        result = await session.run("l.append(1); l", ["l = []"], node=node)
        assert result.output == "[1]\n"


async def test_nodes_are_seeded_so_that_a_replay_repeats(session):
    code = (
        "import random, numpy, sympy\nrandom.random(), numpy.random.rand(), list({'a', 'b', 'c'})"
    )
    first = await session.run(code, ["x = 1"])
    again = await session.run(code, ["x = 1"])
    sibling = await session.run(code, ["x = 1"], node="other")
    assert first.output == again.output != sibling.output


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("print('é ☃ 日本')", "é ☃ 日本\n"),
        ("print('a\\0b')", "a\0b\n"),
        ("2 / 3", "0.6666666666666666\n"),
        (
            "import numpy as np; np.linalg.det(np.eye(2)) + np.roots([1, -3, 2]).sum()",
            "np.float64(4.0)\n",
        ),
        ("import sympy as s; s.integrate(s.Symbol('x')**2)", "x**3/3\n"),
        ("from fractions import Fraction; Fraction(1, 3) + 1", "Fraction(4, 3)\n"),
        ("import math, itertools, statistics, decimal; math.comb(5, 2)", "10\n"),
        ("import sympy as s\ns.lambdify(s.Symbol('x'), s.Symbol('x')**2, 'numpy')(3)", "9\n"),
        ("import time; time.sleep(0.01); 'slept'", "'slept'\n"),
        ("#" * 65536, ""),
    ],
)
async def test_ordinary_code_runs(session, code, shown):
    result = await session.run(code)
    assert (result.status, result.output, result.HasField("error")) == (pb.STATUS_OK, shown, False)


@pytest.mark.parametrize(
    ("code", "status", "error_type", "line"),
    [
        ("x = 1\n1/0", pb.STATUS_ERROR, "ZeroDivisionError", 2),
        ("def f(:", pb.STATUS_ERROR, "SyntaxError", 1),
        ("x = 1\0", pb.STATUS_ERROR, "SyntaxError", 0),
        ("import sys; sys.exit(0)", pb.STATUS_ERROR, "SystemExit", 1),
        ("def f(): f()\nf()", pb.STATUS_ERROR, "RecursionError", 1),
        ("input()", pb.STATUS_ERROR, "EOFError", 1),
        ("import torch", pb.STATUS_ERROR, "ModuleNotFoundError", 1),
        ("open('/etc/passwd')", pb.STATUS_ERROR, "FileNotFoundError", 1),
        ("import socket; socket.socket()", pb.STATUS_ERROR, "PermissionError", 1),
        ("import os; os.fork()", pb.STATUS_ERROR, "PermissionError", 1),
        ("import subprocess; subprocess.run(['ls'])", pb.STATUS_ERROR, "PermissionError", 1),
        (
            "import threading; threading.Thread(target=print).start()",
            pb.STATUS_ERROR,
            "RuntimeError",
            1,
        ),
        ("import os; os._exit(0)", pb.STATUS_KILLED, "Killed", 0),
        ("import ctypes; ctypes.string_at(0)", pb.STATUS_KILLED, "Killed", 0),
        ("import os; os.closerange(3, 32)", pb.STATUS_KILLED, "Killed", 0),
        (
            FORGE,
            pb.STATUS_KILLED,
            "Killed",
            0,
        ),
        (
            "l = []\nwhile True: l.append(bytearray(10**6))",
            pb.STATUS_OUT_OF_MEMORY,
            "MemoryError",
            2,
        ),
        ("import numpy; numpy.ones(10**9)", pb.STATUS_OUT_OF_MEMORY, "MemoryError", 1),
        ("while True: print('x' * 1000)", pb.STATUS_OUTPUT_LIMIT, "OutputLimit", 0),
    ],
)
async def test_each_failure_is_told_as_what_it_was(session, code, status, error_type, line):
    result = await session.run(code)
    assert pb.Status.Name(result.status) == pb.Status.Name(status)
    assert result.error.line == line
    assert result.error.type in (error_type, "ValueError" if "\0" in code else error_type)


@pytest.mark.parametrize("code", ["while True: pass", "9**9**9**9", "import time; time.sleep(99)"])
async def test_a_step_is_killed_at_its_deadline(session, code):
    result = await session.run(code, wall_ms=300)
    assert (result.status, result.error.type) == (pb.STATUS_TIMEOUT, "Timeout")
    # The deadline is set by the loop's clock, which stands still while the loop is at work.
    assert result.timings.run_ms > 250


async def test_the_memory_limit_of_a_request_holds(session):
    assert (await session.run("x = bytearray(40 * 2**20)")).status == pb.STATUS_OK
    result = await session.run("x = bytearray(40 * 2**20)", memory_mib=32)
    assert result.status == pb.STATUS_OUT_OF_MEMORY


async def test_long_output_is_cut_and_marked(session):
    result = await session.run("print('é' * 1000)", output_bytes=101)
    assert (result.status, result.output, result.output_truncated) == (pb.STATUS_OK, "é" * 50, True)


async def test_a_step_after_an_ancestor_that_fails_is_rejected(session):
    result = await session.run("x", ["x = 1", "1/0"])
    assert (result.status, result.error.type) == (pb.STATUS_REJECTED, "Rejected")
    assert "n1" in result.error.message
    assert "ZeroDivisionError" in result.error.message


async def test_the_environment_tells_nothing(session):
    assert (await session.run("import os; dict(os.environ)")).output == "{}\n"


async def test_many_at_once_all_get_their_own_answer(session):
    results = await asyncio.gather(
        *(session.run(f"x + {i}", ["x = 1000"], node=f"c{i}") for i in range(24))
    )
    assert [result.output for result in results] == [f"{1000 + i}\n" for i in range(24)]


async def test_timings_add_up(session):
    result = await session.run("import time; time.sleep(0.05)", ["x = 1", "y = 2"])
    # The child may be well into its step before the warden hears of it.
    assert result.timings.fork_ms + result.timings.run_ms > 49
    assert min(result.timings.fork_ms, result.timings.run_ms) > 0
