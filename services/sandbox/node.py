"""The process that runs steps: untrusted from its first step on.

It owns one channel to the warden and serves its commands until it is killed. What it imports is
what a step can reach: standard library and this package's small modules only.
"""

import contextlib
import gc
import os
import random
import signal
import socket
from collections.abc import Callable
from typing import Final, NoReturn

from services.sandbox import linux, wire
from services.sandbox.notebook import Notebook
from services.sandbox.wire import Result, Run

CHANNEL: Final = 3
# Descriptors beyond the channel's are closed in every new process; rlimits allow no higher ones.
MAX_DESCRIPTORS: Final = 32
# Freed before a step that ran out of memory is reported, so that there is memory to report it.
_RESERVE_BYTES: Final = 2 * 1024 * 1024

Seeder = Callable[[int], None]


def adopt(descriptor: int) -> None:
    """Make `descriptor` this process's channel; leave open only the null device, as 0 to 2."""
    for standard in (1, 2):
        os.dup2(0, standard)
    os.dup2(descriptor, CHANNEL)
    os.closerange(CHANNEL + 1, MAX_DESCRIPTORS)


def serve(seeders: tuple[Seeder, ...]) -> NoReturn:
    """Serve commands on the channel; never returns."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=CHANNEL)
    notebook = Notebook()
    while True:
        packet = channel.recv(wire.MAX_PACKET_BYTES)
        if not packet:
            os._exit(0)
        run = wire.decode_command(packet)
        if run is not None:
            _run(run, notebook, channel, seeders)


def _run(run: Run, notebook: Notebook, channel: socket.socket, seeders: tuple[Seeder, ...]) -> None:
    def flood(result: Result) -> NoReturn:
        channel.send(wire.encode_result(result))
        os._exit(0)

    random.seed(run.seed)
    for seed in seeders:
        seed(run.seed)
    reserve = bytearray(_RESERVE_BYTES)
    result = notebook.run(run.code, run.output_bytes, flood)
    del reserve
    if result.ending == wire.Ending.OUT_OF_MEMORY:
        gc.collect()
    channel.send(wire.encode_result(result))


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; exits where it already has."""
    with contextlib.suppress(OSError):
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
