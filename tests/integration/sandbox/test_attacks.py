"""Attempts to get out, each a file in attacks/ whose first line says what must come of it.

`# Expect: STATUS [exception type]`, alternatives separated by `|`; `refused` stands for a step that
ran to its end and printed just that. After each attack its siblings and another session must still
compute correctly, and no process may be left.
"""

import asyncio
import os
import re
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox import linux
from tests.support.sandbox_server import serving, until
from tests.support.system_calls import numbers

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTACKS = sorted(Path(__file__).parent.joinpath("attacks").glob("*.py"))
MAX_WALL_MS = 5000
# For attacks whose only weapon is time.
SHORT_WALL_MS = 250
MEMORY_MIB = 64
TRACES = [Path("/tmp/left-behind"), Path("/tmp2")]

TOOLS = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {numbers(linux.machine())}

def call(name, *arguments):
    number = NUMBERS[name]
    if number is None:
        return "refused"
    return "refused" if libc.syscall(number, *arguments) < 0 else "done"
"""
CALL = re.compile(r"\bcall\(\s*['\"](\w*)")
# The whole past of an attack and of its siblings.
PAST = [TOOLS, "secret = [1]"]


async def test_there_are_at_least_a_hundred_attacks():
    assert len(ATTACKS) >= 100


async def test_every_system_call_of_an_attack_has_a_number():
    called = {name for attack in ATTACKS for name in CALL.findall(attack.read_text())}
    assert called
    assert called <= set(numbers(linux.machine()))


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["self", "user", "container"])
async def target(request):
    if request.param != "self" and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    async with (
        serving(
            run_as="" if request.param == "self" else request.param,
            workers=2,
            max_wall_ms=MAX_WALL_MS,
            max_memory_mib=256,
            drain_seconds=1,
        ) as server,
        server.session() as attacked,
        server.session() as other,
    ):
        for depth, step in enumerate(PAST):
            assert (await attacked.run(step, PAST[:depth])).status == pb.STATUS_OK
        # The same past for attacks that need the full interpreter.
        assert (await attacked.run("# numpy", PAST)).interpreter == pb.INTERPRETER_FULL
        await undisturbed(attacked, other)
        yield server, attacked, other


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda path: path.stem)
async def test_attack(target, attack):
    server, attacked, other = target
    code = attack.read_text()
    before = server.descendants()
    expected = re.match(r"# Expect: (.*)", code)[1].split("|")
    wall_ms = SHORT_WALL_MS if "STATUS_TIMEOUT" in expected else MAX_WALL_MS
    result = await attacked.run(code, PAST, node="attack", wall_ms=wall_ms, memory_mib=MEMORY_MIB)
    assert describe(result) in expected or pb.Status.Name(result.status) in expected, result
    await undisturbed(attacked, other)
    # The attack's own state may be kept, as any successful step's, and so may the check's.
    await until(lambda: len(server.descendants() - before) <= 3)
    assert not any(map(os.path.exists, TRACES))


def describe(result: pb.RunResponse) -> str:
    if result.status == pb.STATUS_OK and result.output == "refused\n":
        return "refused"
    return f"{pb.Status.Name(result.status)} {result.error.type}".strip()


async def undisturbed(attacked, other):
    sibling, elsewhere = await asyncio.gather(
        attacked.run("secret.append(2); secret", PAST, node="sibling"),
        other.run("import sympy; sympy.Integer(6) * 7", node="elsewhere"),
    )
    assert (sibling.status, sibling.output) == (pb.STATUS_OK, "[1, 2]\n")
    assert (elsewhere.status, elsewhere.output) == (pb.STATUS_OK, "42\n")


async def test_another_session_s_ids_lead_to_nothing_of_its_own(target):
    _, attacked, other = target
    result = await other.run("secret", ["secret = 'mine'"])
    assert result.output == "'mine'\n"
    assert (await other.run("secret")).error.type == "NameError"
    assert (await attacked.run("secret", PAST)).output == "[1]\n"
