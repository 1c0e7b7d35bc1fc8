"""Processor time of a sandbox step, by who spends it.

Unlike rates and latencies it hardly depends on what else the machine does.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from rstar.bench.machine import Processors
from rstar.sandbox_probe import Probe, Stream, step_request
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb

# Position of utime in /proc/PID/stat, counted from the one after the name: stime, and both of the
# children that ended, follow. In ticks.
_TIMES: Final = slice(11, 15)
_TICKS_A_SECOND: Final = 100
_NANOSECONDS: Final = 1e9
_GONE_SECONDS: Final = 30.0


async def cpu_ms_per_step(
    probe: Probe, code: str, steps: int, at_once: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of processor time a step, by part, over one call; and the machine's time.

    Args:
        probe: of a server that does nothing else and has no open session.
        code: of every step; it must succeed.
        steps: in all. The more, the finer: what ends is counted in hundredths of a second.
        at_once: steps in progress, each in a session of its own.

    Returns:
        `client`: this process. `warden`: the server's own process. `interpreters`: all others of
        it, user and system time apart, from the fork of a step's process to its end. `all`: sum.
        What became of all processor time of the machine meanwhile: see machine.Processors.since.
    """
    zygotes = await _alone(probe)
    machine = Processors.now()
    client, warden, interpreters = time.process_time(), _own(probe.pid), _all(zygotes)
    sessions = [await probe.open() for _ in range(at_once)]

    async def call(stream: Stream, session: str) -> None:
        for _ in range(steps // at_once):
            response = await stream.run(step_request(session, code))
            if response.status != pb.STATUS_OK:
                raise RuntimeError(f"a step of the benchmark failed: {response.error}")

    async with probe.stream() as stream:
        await asyncio.gather(*(call(stream, session) for session in sessions))
    for session in sessions:
        await probe.close(session)
    await _alone(probe)
    user, system = (
        (after - first) / _TICKS_A_SECOND
        for after, first in zip(_all(zygotes), interpreters, strict=True)
    )
    seconds = {
        "client": time.process_time() - client,
        "warden": _own(probe.pid) - warden,
        "interpreters_user": user,
        "interpreters_system": system,
    }
    shares = Processors.now().since(machine, sum(seconds.values()))
    seconds["all"] = sum(seconds.values())
    done = steps // at_once * at_once
    return {name: round(value * 1000 / done, 3) for name, value in seconds.items()}, shares


async def _alone(probe: Probe) -> list[int]:
    """The zygotes, once nothing else is left: the ends of all others are counted with them then."""
    deadline = time.monotonic() + _GONE_SECONDS
    while probe.processes() != probe.zygotes():
        if time.monotonic() > deadline:
            raise RuntimeError("processes are left after their sessions were closed")
        await asyncio.sleep(0.01)
    return probe.zygotes()


def _own(pid: int) -> float:
    """Seconds of processor time of a process, its threads included."""
    nanoseconds = sum(
        int((task / "schedstat").read_text().split()[0])
        for task in Path(f"/proc/{pid}/task").iterdir()
    )
    return nanoseconds / _NANOSECONDS


def _all(pids: list[int]) -> tuple[int, int]:
    """User and system time of processes and of their children that have ended, in ticks."""
    user = system = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        own_user, own_system, ended_user, ended_system = map(int, fields[_TIMES])
        user += own_user + ended_user
        system += own_system + ended_system
    return user, system
