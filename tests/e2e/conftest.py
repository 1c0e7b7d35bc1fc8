"""`rstar up` as its user runs it, with the smallest model."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from services.common.models.store import StoredModel

START_SECONDS = 600
STOP_SECONDS = 90


class Up:
    """A running `rstar up`, and what it has printed."""

    def __init__(self, home: Path, model: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "rstar.main", "up", "--model", model),
                *("--port", "0", "--grpc-port", "0", "--home", str(home)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def log(self) -> str:
        """Everything printed so far."""
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """The first match in the log, waited for."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.log):
                return found
            assert self.process.poll() is None, f"rstar up has ended:\n{self.log}"
            time.sleep(0.1)
        raise AssertionError(f"not seen within {seconds} s: {pattern}\n{self.log}")

    @property
    def url(self) -> str:
        """Base URL of the REST API, once all is ready."""
        return self.wait_for(r"POST (http://\S+)/solve")[1]

    def descendants(self) -> list[psutil.Process]:
        """Every process that came of it."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def main_process(self, module: str) -> psutil.Process:
        """The process that runs a service, or Redis."""
        keepers = psutil.Process(self.process.pid).children()
        [keeper] = [k for k in keepers if any(module in part for part in k.cmdline())]
        found: psutil.Process = keeper.children()[0]
        return found

    def end(self) -> None:
        """Make sure that nothing outlives the test."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(STOP_SECONDS)


StartUp = Callable[[], AbstractContextManager[Up]]


@pytest.fixture(scope="session")
def start_up(smollm2: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> StartUp:
    """Starts `rstar up` in a home of its own that shares the model store."""
    store = smollm2.path.parent.parent

    @contextmanager
    def start() -> Iterator[Up]:
        home = tmp_path_factory.mktemp("home")
        (home / "store").symlink_to(store)
        up = Up(home, smollm2.manifest.version)
        try:
            yield up
        finally:
            up.end()

    return start


@pytest.fixture(scope="module")
def stack(start_up: StartUp) -> Iterator[Up]:
    """One running stack for the tests of a module."""
    with start_up() as up:
        assert up.url
        yield up
