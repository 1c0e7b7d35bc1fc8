"""The process that runs steps: untrusted from its first step on.

It owns one channel to the warden and serves its commands until it is killed. What it imports is
what a step can reach: standard library and this package's small modules only.
"""

import contextlib
import gc
import mmap
import os
import signal
import socket
from collections.abc import Callable
from typing import Final, NoReturn

from services.sandbox import linux, syscalls, wire
from services.sandbox.notebook import Notebook
from services.sandbox.wire import Result, Run

CHANNEL: Final = 3
# Descriptors beyond the channel's are closed in every new process; rlimits allow no higher ones.
MAX_DESCRIPTORS: Final = 32
# Freed before a step that ran out of memory is reported, so that there is memory to report it.
_RESERVE_BYTES: Final = 2 * 1024 * 1024

# No random number is drawn by code in which this never occurs: random, numpy.random, randprime.
_MENTION: Final = "rand"

Seeder = Callable[[int], None]


def adopt(descriptor: int) -> None:
    """Make `descriptor` this process's channel; leave open only the null device, as 0 to 2."""
    for standard in (1, 2):
        os.dup2(0, standard)
    os.dup2(descriptor, CHANNEL)
    os.closerange(CHANNEL + 1, MAX_DESCRIPTORS)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the zygote dies."""
    with contextlib.suppress(OSError):
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


class Node:
    """Serves the warden's commands on the channel.

    Args:
        seeders: each seeds one random number generator.
    """

    def __init__(self, seeders: tuple[Seeder, ...]) -> None:
        self._seeders = seeders
        self._notebook = Notebook()
        self._draws = False
        self._channel = _channel(CHANNEL)
        self._fork = linux.fork_sibling(syscalls.FORK_FLAGS)

    def serve(self) -> NoReturn:
        """Serve until killed."""
        while True:
            packet, descriptors, _, _ = socket.recv_fds(self._channel, wire.MAX_PACKET_BYTES, 1)
            if not packet:
                os._exit(0)
            run = wire.decode_command(packet)
            if run is not None:
                self._run(run)
            else:
                self._divide(_channel(descriptors[0]))

    def _run(self, run: Run) -> None:
        self._seed(run)
        # Address space, not memory: it is never written.
        reserve = mmap.mmap(-1, _RESERVE_BYTES)
        result = self._notebook.run(run.code, run.output_bytes, self._end_flood)
        reserve.close()
        if result.ending == wire.Ending.OUT_OF_MEMORY:
            gc.collect()
        self._channel.send(wire.encode_result(result))

    def _seed(self, run: Run) -> None:
        """Seed every generator, from the first step on that mentions one.

        Until then they stand as in the zygote, which seeded them too: either way a replay repeats.
        """
        self._draws = self._draws or _MENTION in run.code
        if self._draws:
            for seed in self._seeders:
                seed(run.seed)

    def _end_flood(self, result: Result) -> NoReturn:
        self._channel.send(wire.encode_result(result))
        os._exit(0)

    def _divide(self, channel: socket.socket) -> None:
        """Fork. The child goes on with `channel` as its own and says so in a first packet."""
        try:
            pid = self._fork()
        except OSError as error:
            # From a known pid, so that it cannot be taken for a child's.
            channel.send(wire.encode_hello(error.errno or 1))
            channel.close()
            return
        if pid:
            channel.close()
            return
        # Before anything else: the parent's commands are none of the child's business.
        self._channel.close()
        self._channel = channel
        die_with_parent()
        channel.send(wire.encode_hello(0))


def _channel(descriptor: int) -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=descriptor)
