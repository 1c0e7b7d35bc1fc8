"""Has the zygote do what every step does, so that no step is the first to do it.

CPython looks attributes up once and remembers where they were, and rewrites code that has run a
few times for the types it has met. In a forked process each such note is a page to be copied; made
before the fork, it is there already. A quarter of a short step's page faults went this way.
Standard library only.
"""

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Final

from services.sandbox import linux, wire
from services.sandbox.node import Node, Seeder
from services.sandbox.wire import Run

# CPython specializes a function's code after a few calls, and a loop's after a few rounds.
_TIMES: Final = 32
# One of each kind of ending that a program of a few lines has.
_STEPS: Final = (
    "y = 1",
    "y",
    "for i in range(3):\n    y += i * 2\nprint(y, f'{y / 3:.2f}')",
    "def f(a, b=2):\n    return [a] * b\nf(1)",
    "1 / 0",
)
_OUTPUT_BYTES: Final = 1024


def run(seeders: tuple[Seeder, ...]) -> None:
    """Serve the commands of a made-up warden; leaves no trace but in the interpreter's caches."""
    with _kept_streams():
        for _ in range(_TIMES):
            for pid in (1, 0):
                _serve(seeders, pid)
    # What a child asks of the kernel, and this process does not want.
    linux.prctl(linux.PR_SET_PDEATHSIG, 0)


def _serve(seeders: tuple[Seeder, ...], pid: int) -> None:
    """Serve one command of each kind; the fork only seems to happen, and to return `pid`."""
    warden, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child, its_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    gate, its_gate = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with warden, child, its_channel, gate, its_gate:
        node = Node(seeders, channel.detach(), fork=lambda: pid)
        for step in _STEPS:
            warden.send(wire.encode_run(Run(step, 0, _OUTPUT_BYTES)))
            node.serve_next()
            warden.recv(wire.MAX_PACKET_BYTES)
        run = wire.encode_run(Run(_STEPS[0], 0, _OUTPUT_BYTES))
        socket.send_fds(gate, [run], [its_channel.fileno()])
        socket.send_fds(warden, [wire.encode_fork()], [its_gate.fileno()])
        node.serve_next()
        node.close()


@contextlib.contextmanager
def _kept_streams() -> Iterator[None]:
    """A step's program replaces standard output and `__main__` for good; give them back."""
    output, main = sys.stdout, sys.modules["__main__"]
    try:
        yield
    finally:
        sys.stdout, sys.modules["__main__"] = output, main
