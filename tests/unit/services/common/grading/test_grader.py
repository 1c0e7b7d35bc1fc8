import asyncio
import os
import signal
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.common.grading import answers, grader
from services.common.grading.grader import Grader, GraderUnavailable
from services.common.grading.grader_worker import MEMORY_BYTES

TABLE = tomllib.loads((Path(__file__).parent / "grading_pairs.toml").read_text())
HANGS = "(10^{9})!"
# Long enough for a slow machine; no pair but the hanging ones comes near it.
PATIENT = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient() -> AsyncIterator[Grader]:
    async with Grader(workers=1, deadline=PATIENT) as open_grader:
        yield open_grader


def pairs(key: str) -> list[Any]:
    return [
        pytest.param(*pair, id=f"{group['about']}: {' | '.join(pair)}")
        for group in TABLE["group"]
        for pair in group[key]
    ]


def test_the_table_is_long_enough() -> None:
    assert len(pairs("equal")) >= 150
    assert len(pairs("different")) >= 100


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("gold", "answer"), pairs("equal"))
async def test_equal_answers(patient: Grader, gold: str, answer: str) -> None:
    assert await patient.correct(gold, answer)
    assert await patient.equal(gold, answer)
    assert await patient.equal(answer, gold)
    assert patient.kills == 0


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("gold", "answer"), pairs("different"))
async def test_different_answers(patient: Grader, gold: str, answer: str) -> None:
    assert not await patient.correct(gold, answer)
    assert not await patient.equal(gold, answer)
    assert not await patient.equal(answer, gold)
    assert patient.kills == 0


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("gold", "answer", "verdict"), [pair for known in TABLE["known"] for pair in known["pairs"]]
)
async def test_known_disagreements_are_still_as_listed(
    patient: Grader, gold: str, answer: str, verdict: bool
) -> None:
    assert await patient.correct(gold, answer) is verdict


async def test_a_hanging_pair_is_killed_counted_and_remembered() -> None:
    async with Grader(workers=1, deadline=0.5) as short:
        assert not await short.equal(HANGS, "1")
        assert short.kills == 1
        assert not await short.equal("1", HANGS)
        assert short.kills == 1


async def test_a_worker_is_replaced_after_a_kill() -> None:
    async with Grader(workers=1, deadline=5.0) as some:
        assert not await some.equal(HANGS, "1")
        assert await some.equal("x**2 + x", "x(x+1)")
        assert some.kills == 1


async def test_a_crashed_worker_counts_as_not_equal() -> None:
    async with Grader(workers=1, deadline=PATIENT) as some:
        (worker,) = some._workers
        assert worker._process is not None
        asking = asyncio.create_task(some.equal(HANGS, "1"))
        await asyncio.sleep(0.2)
        os.kill(worker._process.pid, signal.SIGKILL)
        assert not await asking
        assert some.kills == 1


async def test_a_caller_who_leaves_does_not_disturb_the_others() -> None:
    async with Grader(workers=1, deadline=PATIENT) as some:
        leaving = asyncio.create_task(some.equal("x(x+1)", "x**2 + x"))
        staying = asyncio.create_task(some.equal("x**2 + x", "x(x+1)"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying
        assert leaving.cancelled()
        assert some.kills == 0


async def test_closing_kills_the_workers_and_ends_what_waits() -> None:
    some = Grader(workers=1, deadline=PATIENT)
    await some.start()
    (worker,) = some._workers
    assert worker._process is not None
    pid = worker._process.pid
    waiting = asyncio.create_task(some.equal(HANGS, "1"))
    await asyncio.sleep(0.2)
    await some.close()
    with pytest.raises(GraderUnavailable):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(GraderUnavailable):
        await some.equal("x + 1", "1 + x")


async def test_a_worker_is_limited_in_memory_and_leaves_no_core() -> None:
    async with Grader(workers=1, deadline=PATIENT) as some:
        (worker,) = some._workers
        assert worker._process is not None
        limits = limits_of(worker._process.pid)
    assert f"Max address space         {MEMORY_BYTES}" in limits
    assert "Max core file size        0 " in limits


async def test_a_worker_dies_with_its_owner() -> None:
    code = (
        "import asyncio, os, signal\n"
        "from services.common.grading.grader import Grader\n"
        "async def main():\n"
        "    some = Grader()\n"
        "    await some.start()\n"
        "    print(some._workers[0]._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await owner.communicate()
    async with asyncio.timeout(PATIENT):
        while is_running(int(out)):
            await asyncio.sleep(0.05)


def limits_of(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_waiting_pairs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grader, "MAX_PAIRS_WAITING", 1)
    async with Grader(workers=1, deadline=PATIENT) as some:
        first = asyncio.create_task(some.equal("x(x+1)", "x**2 + x"))
        await asyncio.sleep(0)
        with pytest.raises(GraderUnavailable, match="waiting"):
            await some.equal("y(y+1)", "y**2 + y")
        assert await first


async def test_results_are_cached_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grader, "MAX_CACHED_PAIRS", 2)
    async with Grader(workers=1, deadline=PATIENT) as some:
        for name in "abc":
            assert await some.equal(f"{name}({name}+1)", f"{name}**2 + {name}")
        assert len(some._cache) == 2


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ("18", "18.0", True),
        ("18", "19", False),
        ("even", "Even", True),
        ("even", "neve", False),
        ("", "", False),
        ("x+1", "1+x", None),
        (HANGS, "1", None),
        (HANGS, HANGS, True),
        ("9^{9^{9^{9}}}", "1", False),
        ("9**9**9**9", "9^{9^{9^{9}}}", False),
        ("2^{2^{3}}", "256", None),
        ("1" * (answers.MAX_ANSWER_CHARS + 1), "1", False),
    ],
)
def test_text_numbers_and_words_need_no_worker(a: str, b: str, verdict: bool | None) -> None:
    assert grader.compare_text(a, b) is verdict


@pytest.mark.parametrize(("workers", "deadline"), [(0, 1.0), (1, 0.0)])
def test_bad_limits_are_refused(workers: int, deadline: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Grader(workers=workers, deadline=deadline)


def test_the_version_names_math_verify() -> None:
    assert grader.GRADER_VERSION.startswith("math-verify 0.9.0")
