"""Load with accidents: `python -m tests.support.sandbox_chaos --sessions 64 --seconds 600`.

Sessions grow trees of mixed steps while node processes, and now and then the zygote, are killed.
Prints what became of the requests, the memory that was used and what was left behind.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import grpc
import pytest

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox.settings import SandboxSettings
from tests.support.sandbox_server import Server, Session, serving, until

DEPTH = 8
ZYGOTES = 2
KILL_EVERY_SECONDS = 0.5
ZYGOTE_SHARE = 0.05
STEPS = (
    ("x = {n}", pb.STATUS_OK),
    ("import sympy\ns = sympy.expand((sympy.Symbol('t') + {n})**6)", pb.STATUS_OK),
    ("import numpy as np\na = np.arange({n} + 50_000.0)", pb.STATUS_OK),
    ("l = [i * {n} for i in range(5000)]", pb.STATUS_OK),
    ("print('x' * 5000, {n})", pb.STATUS_OK),
    ("1 / 0 + {n}", pb.STATUS_ERROR),
    ("import os; os._exit({n} % 2)", pb.STATUS_KILLED),
    ("bytes(10**12 + {n})", pb.STATUS_OUT_OF_MEMORY),
    ("while True: {n}", pb.STATUS_TIMEOUT),
)
WEIGHTS = (8, 3, 3, 4, 3, 2, 1, 1, 0.3)
RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
# What a killed process makes of a step that would have ended otherwise.
ACCIDENTS = (pb.STATUS_KILLED, pb.STATUS_REJECTED)


class Chaos:
    """One run.

    Attributes:
        outcomes: how many requests ended how.
        wrong: results that neither the step nor an accident explains.
    """

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._random = random.Random(seed)
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.kills = 0

    async def grow(self, deadline: float) -> None:
        """Run steps in a session of its own until the deadline, up to DEPTH deep."""
        async with self._server.session() as session:
            path: list[str] = []
            while time.monotonic() < deadline:
                path = path if len(path) < DEPTH else path[: self._random.randrange(DEPTH)]
                number = self._random.randrange(10**6)
                template, expected = self._random.choices(STEPS, WEIGHTS)[0]
                code = template.format(n=number)
                if await self._step(session, code, path, expected):
                    path = [*path, code]

    async def _step(self, session: Session, code: str, path: list[str], expected: int) -> bool:
        try:
            result = await session.run(code, path, wall_ms=1000)
        except grpc.aio.AioRpcError as error:
            self.outcomes[error.code().name] += 1
            if error.code() not in RETRYABLE:
                self.wrong.append(f"{error.code().name}: {error.details()}")
            return False
        self.outcomes[pb.Status.Name(result.status)] += 1
        slow = result.status == pb.STATUS_TIMEOUT
        if result.status != expected and result.status not in ACCIDENTS and not slow:
            self.wrong.append(f"{code}: {result}")
        return result.status == pb.STATUS_OK

    async def kill(self, deadline: float) -> None:
        """Kill a process of the server's every now and then."""
        while time.monotonic() < deadline:
            await asyncio.sleep(KILL_EVERY_SECONDS)
            processes = sorted(self._server.descendants())
            # The zygotes have the lowest pids, but for a wrap of the numbers.
            zygotes, others = processes[:ZYGOTES], processes[ZYGOTES:]
            candidates = zygotes if self._random.random() < ZYGOTE_SHARE else others
            if not candidates:
                continue
            victim = self._random.choice(candidates)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                self.kills += 1


def memory_mib(pids: list[int]) -> float:
    """Memory of processes, what they share counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def run(sessions: int, seconds: float, seed: int) -> dict[str, object]:
    """Run it; returns the figures, the files that the server left in a folder of its own too."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        figures = await _run(sessions, seconds, seed)
        return figures | {"files_left": _files(folder)}


def _files(folder: str) -> int:
    return len(list(Path(folder).iterdir()))


async def _run(sessions: int, seconds: float, seed: int) -> dict[str, object]:
    async with serving(max_sessions=sessions + 1, workers=2, drain_seconds=2) as server:
        async with server.session() as session:
            await session.run("1")
        await until(lambda: len(server.descendants()) <= ZYGOTES)
        before = descriptors(server.process.pid)
        idle = memory_mib([server.process.pid, *server.descendants()])
        chaos = Chaos(server, seed)
        deadline = time.monotonic() + seconds
        killer = asyncio.create_task(chaos.kill(deadline))
        growth = asyncio.gather(*(chaos.grow(deadline) for _ in range(sessions)))
        peak = 0.0
        while not growth.done():
            peak = max(peak, memory_mib([server.process.pid, *server.descendants()]))
            await asyncio.wait({growth}, timeout=2)
        await growth
        await killer
        await until(lambda: len(server.descendants()) <= ZYGOTES)
        async with server.session() as session:
            answer = (await session.run("6 * 7")).output
        await until(lambda: len(server.descendants()) <= ZYGOTES)
        return {
            "requests": sum(chaos.outcomes.values()),
            "outcomes": dict(chaos.outcomes),
            "wrong": chaos.wrong,
            "kills": chaos.kills,
            "peak_mib": round(peak),
            "idle_mib": round(idle),
            "budget_mib": SandboxSettings().max_snapshots_mib,
            "processes_left": len(server.descendants()),
            "descriptors_leaked": descriptors(server.process.pid) - before,
            "answers_after": answer == "42\n",
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    figures = asyncio.run(run(chosen.sessions, chosen.seconds, chosen.seed))
    json.dump(figures, sys.stdout, indent=2)
