"""Runs one command and answers for every process that comes of it.

A child of the supervisor that stands between it and a service. When the service ends, whatever it
has left behind is killed; when the supervisor ends, however it ends, the service is stopped. It
ends as the service has ended: same exit code, same signal.

    python keeper.py COMMAND [ARGUMENT ...]

Standard input is the lifeline: its end of file says that the supervisor is gone. SIGTERM and SIGINT
ask the service to stop; SIGUSR1 kills it and all its descendants. Standard library only, and Linux
only: orphans are found because the keeper is their subreaper (prctl(2)).
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHAN_GRACE_SECONDS = 5.0
KILL_SECONDS = 10.0
COMMAND_NOT_FOUND = 127
_LIBC = ctypes.CDLL(None, use_errno=True)


def descendants(root: int) -> set[int]:
    """Process ids below root, root itself not among them."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            # pid (name) state ppid ...; the name may hold spaces and parentheses.
            parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
            children[parent].append(int(folder.name))
    found: set[int] = set()
    queue = [root]
    while queue:
        below = [pid for pid in children[queue.pop()] if pid not in found]
        found.update(below)
        queue.extend(below)
    return found


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def reap() -> dict[int, int]:
    """Wait statuses, by process id, of the children that have ended."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = status


class Keeper:
    """The one command, and the state of its stopping."""

    def __init__(self, command: list[str]) -> None:
        self._woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._deadline: float | None = None
        self._poll = select.poll()
        self._poll.register(self._woken, select.POLLIN)
        self._poll.register(sys.stdin.fileno(), select.POLLIN)
        # Kept, since an unreferenced Popen reaps its child, and the exit code is lost.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=self._die_with_keeper
        )
        self._main = self._process.pid

    @staticmethod
    def _die_with_keeper() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def run(self) -> int:
        """Wait for the command to end, by itself or because it was asked to; its wait status."""
        while True:
            for descriptor, _ in self._poll.poll(self._wait_ms()):
                if descriptor == self._woken:
                    self._on_signals(os.read(self._woken, 4096))
                elif not os.read(descriptor, 4096):
                    self._poll.unregister(descriptor)
                    self._on_orphaned()
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._kill_all()
                self._deadline = None
            ended = reap()
            if self._main in ended:
                return ended[self._main]

    def sweep(self) -> None:
        """Kill what the command has left behind."""
        deadline = time.monotonic() + KILL_SECONDS
        while self._kill_all() and time.monotonic() < deadline:
            time.sleep(0.01)
            reap()

    def _wait_ms(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic()) * 1000

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGUSR1:
                self._kill_all()
            elif number != signal.SIGCHLD:
                send(self._main, signal.SIGTERM)

    def _on_orphaned(self) -> None:
        self._deadline = time.monotonic() + ORPHAN_GRACE_SECONDS
        send(self._main, signal.SIGTERM)

    def _kill_all(self) -> bool:
        """Whether there was anything to kill."""
        pids = descendants(os.getpid())
        for pid in pids:
            send(pid, signal.SIGKILL)
        return bool(pids)


def end_as(status: int) -> None:
    """End this process with the exit code, or by the signal, of a wait status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.set_wakeup_fd(-1)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status))


def main() -> None:
    """Run the command line."""
    if _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit(f"keeper: prctl: {os.strerror(ctypes.get_errno())}")
    try:
        keeper = Keeper(sys.argv[1:])
    except OSError as error:
        print(f"keeper: {error}", file=sys.stderr)
        sys.exit(COMMAND_NOT_FOUND)
    status = keeper.run()
    keeper.sweep()
    end_as(status)


if __name__ == "__main__":
    main()
