"""The supervisor against real child processes that crash, hang and refuse to stop."""

import asyncio
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from rstar.stack import ports
from rstar.stack.journal import Journal
from rstar.stack.readiness import http_probe
from rstar.stack.supervisor import StartError, Supervisor
from rstar.stack.unit import Unit

MakeUnit = Callable[..., Unit]
FAST = (0.05, 0.2)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Check that every process that is started within the block has ended after it."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    left = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert left == []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


def child_of(supervisor: Supervisor, name: str) -> int:
    keeper = supervisor.pid(name)
    assert keeper is not None
    return int(psutil.Process(keeper).children()[0].pid)


async def test_enters_when_all_are_ready_and_leaves_nothing(
    make_unit: MakeUnit, journal: Journal, log: io.StringIO
) -> None:
    units = [make_unit("first"), make_unit("second", after=("first",))]
    with nothing_left():
        async with Supervisor(units, journal) as supervisor:
            assert supervisor.is_ready("first")
            assert supervisor.is_ready("second")
    text = log.getvalue()
    first_ready = text.index(f"at {units[0].address}")
    assert first_ready < text.index("second | child")
    assert text.index("second | stopping") < text.index("first  | stopping")


async def test_a_killed_child_is_reported_and_started_again(
    make_unit: MakeUnit, journal: Journal, log: io.StringIO
) -> None:
    with nothing_left():
        async with Supervisor([make_unit("first")], journal, backoff=FAST) as supervisor:
            child = child_of(supervisor, "first")
            os.kill(child, signal.SIGKILL)
            await until(lambda: supervisor.restarts("first") == 1 and supervisor.is_ready("first"))
            assert child_of(supervisor, "first") != child
    text = log.getvalue()
    assert "was killed by SIGKILL" in text
    assert f"child {child} listens" in text.partition("its last lines:")[2]


async def test_a_child_that_dies_time_and_again_is_restarted_ever_more_slowly(
    make_unit: MakeUnit, journal: Journal, log: io.StringIO
) -> None:
    with nothing_left():
        async with Supervisor([make_unit("first")], journal, backoff=FAST) as supervisor:
            for restarts in (1, 2, 3):
                os.kill(child_of(supervisor, "first"), signal.SIGKILL)
                await until(
                    lambda n=restarts: (  # type: ignore[misc]  # bound at once
                        supervisor.restarts("first") == n and supervisor.is_ready("first")
                    )
                )
    text = log.getvalue()
    waits = [text.index(f"starting it again in {wait} s") for wait in ("0.05", "0.1", "0.2")]
    assert waits == sorted(waits)


async def test_a_hanging_child_is_restarted(
    make_unit: MakeUnit, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rstar.stack.supervisor.PROBE_TIMEOUT_SECONDS", 0.5)
    units = [make_unit("first", stop_seconds=0.5)]
    with nothing_left():
        async with Supervisor(units, journal, backoff=FAST, hang_seconds=1.0) as supervisor:
            os.kill(child_of(supervisor, "first"), signal.SIGSTOP)
            await until(lambda: supervisor.restarts("first") == 1 and supervisor.is_ready("first"))


async def test_a_child_that_fails_at_once_fails_the_start(
    make_unit: MakeUnit, journal: Journal
) -> None:
    units = [make_unit("first"), make_unit("second", "--exit-code", "3")]
    with nothing_left(), pytest.raises(StartError) as caught:
        async with Supervisor(units, journal):
            pytest.fail("it must not enter")
    assert "second exited with code 3" in str(caught.value)
    assert "no use going on" in str(caught.value)


async def test_a_child_that_never_becomes_ready_fails_the_start(
    make_unit: MakeUnit, journal: Journal
) -> None:
    # What it says of itself depends on how far it has come by then.
    unit = make_unit("first", "--unready", start_seconds=2.0)
    with nothing_left(), pytest.raises(StartError, match=r"first is not ready after 2 s \("):
        async with Supervisor([unit], journal):
            pytest.fail("it must not enter")


async def test_a_command_that_does_not_exist_fails_the_start(journal: Journal) -> None:
    unit = Unit("first", ("/nonexistent",), {}, http_probe("http://127.0.0.1:1/"), "")
    with nothing_left(), pytest.raises(StartError, match="exited with code 127"):
        async with Supervisor([unit], journal):
            pytest.fail("it must not enter")


async def test_a_child_that_ignores_sigterm_is_killed(
    make_unit: MakeUnit, journal: Journal
) -> None:
    unit = make_unit("first", "--ignore-sigterm", "--grandchild", "--escape", stop_seconds=0.5)
    with nothing_left():
        async with Supervisor([unit], journal):
            pass


async def test_cancelled_while_starting_it_leaves_nothing(
    make_unit: MakeUnit, journal: Journal, log: io.StringIO
) -> None:
    async def enter() -> None:
        async with Supervisor([make_unit("first", "--unready")], journal):
            pytest.fail("it must not enter")

    with nothing_left():
        task = asyncio.create_task(enter())
        await until(lambda: "listens on" in log.getvalue())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelled_while_stopping_it_kills(make_unit: MakeUnit, journal: Journal) -> None:
    unit = make_unit("first", "--ignore-sigterm", stop_seconds=600.0)
    stopping = asyncio.Event()

    async def run() -> None:
        async with Supervisor([unit], journal):
            stopping.set()

    with nothing_left():
        task = asyncio.create_task(run())
        await stopping.wait()
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_killed_while_stopping_it_starts_nothing_again(
    make_unit: MakeUnit, journal: Journal, log: io.StringIO
) -> None:
    needed = make_unit("needed")
    slow = make_unit("slow", "--ignore-sigterm", stop_seconds=600.0, after=("needed",))
    with nothing_left():
        supervisor = Supervisor([needed, slow], journal)
        await supervisor.__aenter__()
        stop = asyncio.create_task(supervisor.stop())
        await asyncio.sleep(0.2)  # it waits for the slow one, and still keeps the needed one
        stop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stop
        await asyncio.sleep(0.5)  # time enough to notice a death
    assert "starting it again" not in log.getvalue()
    assert (supervisor.restarts("needed"), supervisor.restarts("slow")) == (0, 0)


async def test_a_port_that_is_free_again_is_taken_again(
    make_unit: MakeUnit, journal: Journal
) -> None:
    unit = make_unit("first")
    port = int(unit.address.rpartition(":")[2])
    for _ in range(2):
        async with Supervisor([unit], journal):
            assert ports.is_taken("127.0.0.1", port)
        assert not ports.is_taken("127.0.0.1", port)
