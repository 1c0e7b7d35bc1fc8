"""A hold on a process: signals for it reach nobody else, and its end is noticed.

By a pidfd. Where the kernel knows none, as gVisor's, by its pid, which stays its own until it is
reaped, which the zygote does at the warden's word only; its end is then found by looking.
"""

import asyncio
import errno
import os
import signal
from collections.abc import Callable
from typing import Final, Protocol

_LOOK_SECONDS: Final = 0.01
_MAX_BYTES: Final = 4096


class Hold(Protocol):
    """On one process that is not reaped."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; ProcessLookupError where it has ended."""

    def watch(self, on_end: Callable[[], None]) -> None:
        """Have the event loop call when it has ended."""

    def release(self) -> None:
        """Let go: watch no more."""


def take(pid: int) -> Hold:
    """A hold on a process; OSError where there is none, or no descriptor left."""
    try:
        return _PidfdHold(pid)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return PidHold(pid)


class _PidfdHold:
    def __init__(self, pid: int) -> None:
        self._pidfd = os.pidfd_open(pid)

    def signal(self, number: signal.Signals) -> None:
        signal.pidfd_send_signal(self._pidfd, number)

    def watch(self, on_end: Callable[[], None]) -> None:
        asyncio.get_running_loop().add_reader(self._pidfd, on_end)

    def release(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)


class PidHold:
    """By pid.

    Args:
        pid: of a process that nobody reaps before `release`.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._timer: asyncio.TimerHandle | None = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing comes of it where it has ended."""
        os.kill(self._pid, number)

    def watch(self, on_end: Callable[[], None]) -> None:
        """Look now and then."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LOOK_SECONDS, self._look, on_end)

    def _look(self, on_end: Callable[[], None]) -> None:
        if _has_ended(self._pid):
            on_end()
        else:
            self.watch(on_end)

    def release(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


def _has_ended(pid: int) -> bool:
    """Whether a process is a zombie, or not there at all."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        try:
            fields = os.read(descriptor, _MAX_BYTES).rpartition(b")")[2].split()
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        return True
    return fields[:1] in ([b"Z"], [b"X"])
