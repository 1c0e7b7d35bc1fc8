"""What the tests of the supervisor share."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rstar.stack import ports
from rstar.stack.journal import Journal
from rstar.stack.readiness import grpc_probe
from rstar.stack.unit import Unit

CHILD = Path(__file__).with_name("child.py")


@pytest.fixture
def child_command() -> Callable[..., tuple[str, ...]]:
    """The command of a child with options."""
    return lambda *options: (sys.executable, str(CHILD), *options)


@pytest.fixture
def make_unit(child_command: Callable[..., tuple[str, ...]]) -> Callable[..., Unit]:
    """A unit that runs a child on a free port; keyword arguments are the unit's own."""

    def make(name: str, *options: str, **fields: object) -> Unit:
        port = ports.free_ports("127.0.0.1", 1)[0]
        target = f"127.0.0.1:{port}"
        settings: dict[str, object] = {"start_seconds": 60.0, "stop_seconds": 20.0, **fields}
        return Unit(
            name,
            child_command("--port", str(port), *options),
            dict(os.environ),
            grpc_probe(target),
            target,
            **settings,  # type: ignore[arg-type]  # a test's own keyword arguments
        )

    return make


class Log(io.StringIO):
    """A journal's stream."""

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    def number_after(self, words: str) -> int:
        """The number that follows words in the newest line that has them."""
        line = [line for line in self.lines if words in line][-1]
        return int(line.partition(words)[2].split()[0])


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def journal(log: Log) -> Journal:
    return Journal(["first", "second"], log)
