"""What isolation adds to a fork: `python -m services.sandbox.forkcost [STEPS]` prints JSON.

Two interpreters, alike but for the confinement, are asked in turns to fork and to run a trivial
step in the child. This process plays the warden for both, so that all else is the same.
"""

import gc
import json
import os
import random
import signal
import socket
import statistics
import struct
import sys
import time
from typing import Final, NoReturn

from services.sandbox import confine, footprint, linux, node, notify, preload, rehearsal, wire
from services.sandbox.confine import Bounds
from services.sandbox.kinds import Kind
from services.sandbox.node import Node
from services.sandbox.wire import Run

_BOUNDS: Final = Bounds(memory_bytes=512 * 2**20, cpu_seconds=600, forks=True)
_OUTPUT_BYTES: Final = 1024
_STEP: Final = wire.encode_run(Run("y = 1", seed=0, output_bytes=_OUTPUT_BYTES))
_PID: Final = struct.Struct("=i")
_CREDENTIALS_ROOM: Final = socket.CMSG_SPACE(struct.calcsize("=iII"))
_DEFAULT_STEPS: Final = 400
_WARM_UP_STEPS: Final = 20


class _Parent:
    """An interpreter that forks on request.

    Args:
        confined: whether under full isolation, its forks granted one by one.
    """

    def __init__(self, *, confined: bool) -> None:
        self._confined = confined
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            self._serve(theirs)
        theirs.close()
        self._channel = ours
        self._listener = -1
        if confined:
            _, (self._listener,), _, _ = socket.recv_fds(ours, 1, 1)

    def _serve(self, channel: socket.socket) -> NoReturn:
        try:
            if self._confined:
                confine.process(_BOUNDS)
                listener = confine.listen()
                if listener is None:
                    raise linux.Unsupported("this kernel grants no forks")
                socket.send_fds(channel, [b"l"], [listener])
            node.adopt(channel.fileno())
            if self._confined:
                confine.step(_BOUNDS, forks=True)
            Node((random.seed,)).serve()
        finally:
            os._exit(1)

    def step(self) -> float:
        """Fork and run a trivial step in the child; returns seconds until the child is gone."""
        started = time.perf_counter()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        gate, its_gate = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, gate, its_gate:
            socket.send_fds(gate, [_STEP], [theirs.fileno()])
            socket.send_fds(self._channel, [wire.encode_fork()], [its_gate.fileno()])
            if self._confined:
                os.kill(self._pid, signal.SIGCONT)
                number, _ = notify.receive(self._listener)
                notify.answer(self._listener, number, allow=True)
            _, ancillary, _, _ = ours.recvmsg(wire.MAX_PACKET_BYTES, _CREDENTIALS_ROOM)
            child = _PID.unpack_from(ancillary[0][2])[0]
            if self._confined:
                os.kill(self._pid, signal.SIGSTOP)
            wire.decode_result(ours.recv(wire.MAX_PACKET_BYTES), _OUTPUT_BYTES)
            os.kill(child, signal.SIGKILL)
            # The child is our child as well, since a fork makes siblings.
            os.waitpid(child, 0)
        return time.perf_counter() - started

    def end(self) -> None:
        """Kill it."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def measure(steps: int) -> dict[str, float]:
    """Seconds of a step in both interpreters, in turns; the overhead is of the medians."""
    preload.load(Kind.FULL)
    rehearsal.run((random.seed,))
    gc.collect()
    gc.freeze()
    footprint.merge_images()
    footprint.copy_interpreter()
    footprint.collapse_heap()
    parents = {name: _Parent(confined=name == "confined") for name in ("bare", "confined")}
    try:
        for parent in parents.values():
            for _ in range(_WARM_UP_STEPS):
                parent.step()
        times: dict[str, list[float]] = {name: [] for name in parents}
        for _ in range(steps):
            for name, parent in parents.items():
                times[name].append(parent.step())
    finally:
        for parent in parents.values():
            parent.end()
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "bare_ms": median["bare"] * 1000,
        "confined_ms": median["confined"] * 1000,
        "overhead": median["confined"] / median["bare"] - 1,
    }


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT_STEPS
    sys.stdout.write(json.dumps(measure(wanted)) + "\n")
