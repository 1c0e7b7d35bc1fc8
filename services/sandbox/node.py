"""The process that runs steps: untrusted from its first step on.

It owns one channel to the warden and serves its commands until it is killed. What it imports is
what a step can reach: standard library and this package's small modules only.
"""

import gc
import mmap
import os
import socket
import struct
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

_DESCRIPTOR: Final = struct.Struct("=i")
_ONE_DESCRIPTOR: Final = socket.CMSG_SPACE(_DESCRIPTOR.size)

Seeder = Callable[[int], None]


def adopt(descriptor: int) -> None:
    """Make `descriptor` this process's channel; leave open only the null device, as 0 to 2."""
    for standard in (1, 2):
        os.dup2(0, standard)
    os.dup2(descriptor, CHANNEL)
    os.closerange(CHANNEL + 1, MAX_DESCRIPTORS)


class Node:
    """Serves the warden's commands on the channel.

    Args:
        seeders: each seeds one random number generator.
        channel: descriptor of the channel; owned by this object.
        fork: makes a process that goes on from here; returns as os.fork does.
    """

    def __init__(
        self,
        seeders: tuple[Seeder, ...],
        channel: int = CHANNEL,
        fork: Callable[[], int] | None = None,
    ) -> None:
        self._seeders = seeders
        self._notebook = Notebook()
        self._draws = False
        self._channel = _channel(channel)
        self._packet = bytearray(wire.MAX_PACKET_BYTES)
        # Address space, not memory: it is never written.
        self._reserve = mmap.mmap(-1, _RESERVE_BYTES)
        self._fork = fork or linux.fork_sibling(syscalls.FORK_FLAGS)

    def serve(self) -> NoReturn:
        """Serve until killed."""
        while self.serve_next():
            pass
        os._exit(0)

    def serve_next(self) -> bool:
        """Serve one command; False where no more come."""
        packet, descriptor = self._receive(self._channel)
        if not packet:
            return False
        run = wire.decode_command(packet)
        if run is not None:
            self._run(run)
        else:
            self._divide(_channel(descriptor))
        return True

    def _receive(self, channel: socket.SocketType) -> tuple[bytes, int]:
        """The next packet and the descriptor that comes along, or -1."""
        size, ancillary, _, _ = channel.recvmsg_into([self._packet], _ONE_DESCRIPTOR)
        (descriptor,) = _DESCRIPTOR.unpack(ancillary[0][2]) if ancillary else (-1,)
        return bytes(memoryview(self._packet)[:size]), descriptor

    def close(self) -> None:
        """Close the channel, and give back the reserve."""
        self._channel.close()
        self._reserve.close()

    def _run(self, run: Run) -> None:
        self._seed(run)
        result = self._notebook.run(run.code, run.output_bytes, self._end_flood)
        if result.ending == wire.Ending.OUT_OF_MEMORY:
            self._reserve.close()
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

    def give_up(self) -> NoReturn:
        """End in the middle of a step, and say that it needs a full interpreter."""
        self._channel.send(wire.encode_result(Result(wire.Ending.NEEDS_FULL)))
        os._exit(0)

    def _divide(self, gate: socket.SocketType) -> None:
        """Fork. The child finds its channel and its first command behind the gate.

        Only it takes them out, so that nobody else, its parent stopped anywhere least of all, holds
        its channel open when it has closed it.
        """
        try:
            pid = self._fork()
        except OSError as error:
            # From a known pid, so that it cannot be taken for a child's.
            channel, _ = self._open(gate)
            channel.send(wire.encode_hello(error.errno or 1))
            channel.close()
            return
        if pid:
            gate.close()
            return
        # Before anything else: the parent's commands are none of the child's business.
        self._channel.close()
        linux.die_with_parent()
        self._channel, run = self._open(gate)
        self._channel.send(wire.encode_hello(0))
        self._run(run)

    def _open(self, gate: socket.SocketType) -> tuple[socket.SocketType, Run]:
        packet, descriptor = self._receive(gate)
        gate.close()
        run = wire.decode_command(packet)
        if run is None:
            raise wire.Malformed("a child's first command is to run")
        return _channel(descriptor), run


def _channel(descriptor: int) -> socket.SocketType:
    # The plain type: its subclass, socket.socket, only adds what is not needed here.
    return socket.SocketType(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptor)
