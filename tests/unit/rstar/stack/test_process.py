"""Lines, exits, and stopping what does not want to stop."""

import asyncio
import os
import signal
from collections.abc import Callable

import psutil
import pytest

from rstar.stack.process import (
    LAST_LINES,
    MAX_LINE_BYTES,
    Lines,
    Process,
    describe_exit,
    session_members,
)

Command = Callable[..., tuple[str, ...]]


def test_lines_are_whole_however_they_arrive() -> None:
    lines = Lines()
    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.feed(b"o\nthr\xc3") == ["two"]
    assert lines.feed(b"\xa9e") == []
    assert lines.flush() == ["thr\u00e9e"]
    assert lines.flush() == []


def test_of_a_redrawn_line_the_last_state_is_kept() -> None:
    assert Lines().feed(b"10%\r50%\r100%\nnext\r\n") == ["100%", "next"]


def test_an_endless_line_is_cut() -> None:
    [line] = Lines().feed(b"x" * (MAX_LINE_BYTES + 1) + b"\n")
    assert line == "x" * MAX_LINE_BYTES + " [cut]"
    endless = Lines()
    for _ in range(3):
        endless.feed(b"y" * MAX_LINE_BYTES)
    assert len(endless.flush()[0]) == MAX_LINE_BYTES


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-signal.SIGKILL, "was killed by SIGKILL; perhaps the machine ran out of memory"),
        (-64, "was killed by SIGRTMAX"),
        (-99, "was killed by signal 99"),
    ],
)
def test_an_exit_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


class Started:
    """A process of a test and the lines it has printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def start(self, command: tuple[str, ...]) -> Process:
        return await Process.start(command, dict(os.environ), self.lines.append)

    async def number_after(self, words: str) -> int:
        async with asyncio.timeout(60):
            while True:
                for line in self.lines:
                    if words in line:
                        return int(line.partition(words)[2].split()[0])
                await asyncio.sleep(0.02)


async def test_the_newest_lines_are_remembered() -> None:
    started = Started()
    process = await started.start(("seq", "1", "100"))
    assert await process.wait() == 0
    assert started.lines == [str(n) for n in range(1, 101)]
    assert list(process.last_lines) == started.lines[-LAST_LINES:]


async def test_what_ignores_sigterm_is_killed(child_command: Command) -> None:
    started = Started()
    process = await started.start(child_command("--ignore-sigterm", "--grandchild", "--escape"))
    grandchild = await started.number_after("grandchild ")
    await started.number_after("listens on ")
    assert await process.stop(0.5) == -signal.SIGKILL
    assert not psutil.pid_exists(grandchild)
    assert session_members(process.pid) == []


async def test_when_its_keeper_is_killed_nothing_is_left(child_command: Command) -> None:
    started = Started()
    process = await started.start(child_command("--ignore-sigterm", "--grandchild"))
    await started.number_after("listens on ")
    os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    assert session_members(process.pid) == []


async def test_a_cancelled_wait_does_not_stop_the_reading(child_command: Command) -> None:
    started = Started()
    process = await started.start(child_command())
    await started.number_after("listens on ")
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await process.stop(60) == 0
    assert started.lines[-1] == "stopping"
