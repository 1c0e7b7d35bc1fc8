"""A keeper answers for every process that comes of its command."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from rstar.stack.process import KEEPER

Command = Callable[..., tuple[str, ...]]
SECONDS = 60


@contextmanager
def kept(*command: str) -> Iterator[subprocess.Popen[str]]:
    keeper = subprocess.Popen(
        [sys.executable, str(KEEPER), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield keeper
    finally:
        keeper.kill()
        keeper.wait()
        for stream in (keeper.stdin, keeper.stdout):
            assert stream is not None
            stream.close()


def read_number(keeper: subprocess.Popen[str], pattern: str) -> int:
    assert keeper.stdout is not None
    for line in keeper.stdout:
        if found := re.search(pattern, line):
            return int(found[1])
    raise AssertionError(f"no line like {pattern}")


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + SECONDS
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_ends_with_the_exit_code_of_its_command() -> None:
    with kept(sys.executable, "-c", "raise SystemExit(7)") as keeper:
        assert keeper.wait(SECONDS) == 7


def test_ends_by_the_signal_that_ended_its_command() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    with kept(sys.executable, "-c", code) as keeper:
        assert keeper.wait(SECONDS) == -signal.SIGSEGV


def test_says_that_a_command_does_not_exist() -> None:
    with kept("/nonexistent/program") as keeper:
        assert keeper.wait(SECONDS) == 127
        assert keeper.stdout is not None
        assert "/nonexistent/program" in keeper.stdout.read()


def test_passes_sigterm_on(child_command: Command) -> None:
    with kept(*child_command()) as keeper:
        child = read_number(keeper, r"child (\d+) listens")
        keeper.terminate()
        assert keeper.wait(SECONDS) == 0
        wait_gone(child)


@pytest.mark.parametrize("session", [(), ("--escape",)])
def test_kills_what_its_command_left_behind(child_command: Command, session: tuple[str]) -> None:
    with kept(*child_command("--grandchild", *session)) as keeper:
        grandchild = read_number(keeper, r"grandchild (\d+)")
        child = read_number(keeper, r"child (\d+) listens")
        os.kill(child, signal.SIGKILL)
        assert keeper.wait(SECONDS) == -signal.SIGKILL
        wait_gone(grandchild)


def test_stops_everything_when_its_owner_is_gone(child_command: Command) -> None:
    with kept(*child_command("--grandchild", "--escape", "--ignore-sigterm")) as keeper:
        grandchild = read_number(keeper, r"grandchild (\d+)")
        child = read_number(keeper, r"child (\d+) listens")
        assert keeper.stdin is not None
        keeper.stdin.close()
        assert keeper.wait(SECONDS) == -signal.SIGKILL
        wait_gone(child)
        wait_gone(grandchild)


def test_its_command_dies_with_it(child_command: Command) -> None:
    with kept(*child_command()) as keeper:
        child = read_number(keeper, r"child (\d+)")
        keeper.kill()
        wait_gone(child)
