"""The zygote: imports what steps use, forks a process for each that is asked for, runs no step.

Single-threaded. Started by the warden as `python -m services.sandbox.zygote FD KIND LIMITS`, where
FD is its control socket, KIND says what it imports and LIMITS are confine.Bounds as JSON. It and
all its children end when the warden is gone.
"""

import contextlib
import gc
import json
import os
import random
import signal
import socket
import sys
from typing import Final

from services.sandbox import (
    confine,
    control,
    footprint,
    linux,
    movement,
    node,
    preload,
    rehearsal,
)
from services.sandbox.confine import Bounds
from services.sandbox.control import Request
from services.sandbox.kinds import Kind
from services.sandbox.node import Node, Seeder

# numpy's oldest interface, the one that steps call, takes seeds of this size.
_SEED_BITS: Final = 32
_SWEEP_SECONDS: Final = 0.1


def _seeders(kind: Kind) -> tuple[Seeder, ...]:
    """What seeds the generators that a step may draw from."""
    return (random.seed,) if kind == Kind.LIGHT else (random.seed, *_package_seeders())


def _package_seeders() -> tuple[Seeder, ...]:
    import numpy as np
    import sympy.core.random

    def seed_numpy(seed: int) -> None:
        np.random.seed(seed % 2**_SEED_BITS)

    return (seed_numpy, sympy.core.random.seed)


class Zygote:
    """Serves the warden's requests.

    Args:
        descriptor: of the control socket.
        bounds: put on every child.
        kind: of the interpreters that it makes.
        seeders: of their random number generators.
    """

    def __init__(
        self, descriptor: int, bounds: Bounds, kind: Kind, seeders: tuple[Seeder, ...]
    ) -> None:
        self._control = socket.socket(fileno=descriptor)
        self._bounds = bounds
        self._forks = False
        self._leaders: set[int] = set()
        self._ended_groups: set[int] = set()
        self._kind = kind
        self._seeders = seeders

    def report(self, packages: dict[str, str], isolation: list[str], baseline_bytes: int) -> None:
        """Tell the warden that all is set, and hand it the fork listener if there is one."""
        listener = confine.listen() if self._bounds.forks else None
        self._forks = listener is not None
        ready = control.Ready(packages, isolation, baseline_bytes, self._forks)
        descriptors = () if listener is None else (listener,)
        socket.send_fds(self._control, [control.encode_ready(ready)], descriptors)
        if listener is not None:
            os.close(listener)

    def serve(self) -> None:
        """Answer requests until the warden is gone, then kill every child."""
        while True:
            packet, descriptors = self._next_request()
            if not packet:
                break
            request, pids = control.decode_request(packet)
            if request == Request.SPAWN:
                answer = [self._try_to_spawn(descriptors[0])]
            else:
                answer = [self._reap(pid) for pid in pids]
                self._sweep_groups()
            for descriptor in descriptors:
                os.close(descriptor)
            self._control.send(control.encode_answer(answer))
        for leader in self._leaders:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)

    def _next_request(self) -> tuple[bytes, list[int]]:
        """The next request; until it comes, what is left of ended groups is collected."""
        while True:
            # Processes that the warden never knew may end after their leader: it will not ask.
            self._control.settimeout(_SWEEP_SECONDS if self._ended_groups else None)
            try:
                packet, descriptors, _, _ = socket.recv_fds(
                    self._control, control.MAX_PACKET_BYTES, 1
                )
            except TimeoutError:
                self._sweep_groups()
            else:
                self._control.settimeout(None)
                return packet, descriptors

    def _try_to_spawn(self, channel: int) -> int:
        try:
            return self._spawn(channel)
        except OSError as error:
            return -(error.errno or 1)

    def _spawn(self, channel: int) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                linux.die_with_parent()
                node.adopt(channel)
                confine.step(self._bounds, forks=self._forks)
                self._become_node().serve()
            finally:
                os._exit(1)
        # Both sides, so that the group exists whichever runs first.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._leaders.add(pid)
        return pid

    def _become_node(self) -> Node:
        root = Node(self._seeders)
        if self._kind == Kind.LIGHT:
            movement.watch_imports(root.give_up)
        return root

    def _reap(self, pid: int) -> int:
        status = _wait(pid)
        if pid in self._leaders:
            self._leaders.discard(pid)
            # Its group has been killed with it, and may hold children that the warden never knew.
            self._ended_groups.add(pid)
        return signal.SIGKILL if status is None else status

    def _sweep_groups(self) -> None:
        for group in list(self._ended_groups):
            if linux.collect_group(group):
                self._ended_groups.discard(group)


def _wait(pid: int) -> int | None:
    """The wait status of a child that has ended; None where another sweep collected it."""
    try:
        _, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status


def main(descriptor: int, kind: Kind, bounds: Bounds) -> None:
    """Load, confine, report readiness, serve."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A terminal's Ctrl-C reaches the whole group; the warden decides when to stop.
        signal.signal(number, signal.SIG_IGN)
    packages = preload.load(kind)
    seeders = _seeders(kind)
    for seed in seeders:
        seed(0)
    # Read by the libraries as they loaded; steps need not see it.
    os.environ.clear()
    rehearsal.run(seeders)
    zygote = Zygote(descriptor, bounds, kind, seeders)
    gc.collect()
    # Steps' collections leave what is here alone, and so do not copy its pages.
    gc.freeze()
    footprint.merge_images()
    footprint.copy_interpreter()
    footprint.collapse_heap()
    isolation, baseline = confine.process(bounds)
    zygote.report(packages, isolation, baseline)
    zygote.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), Kind(sys.argv[2]), Bounds(**json.loads(sys.argv[3])))
