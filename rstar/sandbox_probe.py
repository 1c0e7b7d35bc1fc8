"""A sandbox server of one's own and steps run in it, for the sandbox's benchmark."""

import asyncio
import contextlib
import itertools
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from rstar.stack import ports
from services.common import rpc
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc

_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 120.0
_CALL_SECONDS: Final = 60.0


class Probe:
    """A running server.

    Args:
        pid: of the server.
        channel: to it.
    """

    def __init__(self, pid: int, channel: grpc.aio.Channel) -> None:
        self.pid = pid
        self._stub = sandbox_pb2_grpc.SandboxServiceStub(channel)

    async def mode(self) -> str:
        """The server's mode; waits until it is up."""
        info = await self._stub.Info(pb.InfoRequest(), wait_for_ready=True, timeout=_START_SECONDS)
        return info.mode

    async def open(self) -> str:
        """A new session."""
        name = uuid.uuid4().hex
        await self._stub.OpenSession(pb.OpenSessionRequest(session_id=name), timeout=_CALL_SECONDS)
        return name

    async def close(self, session: str) -> None:
        """Close a session."""
        await self._stub.CloseSession(
            pb.CloseSessionRequest(session_id=session), timeout=_CALL_SECONDS
        )

    @contextlib.asynccontextmanager
    async def stream(self) -> AsyncIterator["Stream"]:
        """A call over which many steps can be run."""
        stream = Stream(self._stub.RunMany())  # type: ignore[call-arg]  # written to, not iterated
        try:
            yield stream
        finally:
            await stream.close()

    async def run(
        self, session: str, code: str, prefix: Sequence[str] = (), wall_ms: int = 0
    ) -> pb.RunResponse:
        """Run a step, as a node of its own, after a prefix that is the same for equal code."""
        return await self._stub.Run(
            step_request(session, code, prefix, wall_ms), timeout=_CALL_SECONDS
        )

    async def milliseconds(self, session: str, code: str, prefix: Sequence[str] = ()) -> float:
        """How long a step that succeeds takes, as its caller sees it."""
        started = time.perf_counter()
        response = await self.run(session, code, prefix)
        if response.status != pb.STATUS_OK:
            raise RuntimeError(f"a step of the benchmark failed: {response.error}")
        return (time.perf_counter() - started) * 1000

    def processes(self) -> list[int]:
        """The processes below the server: its zygote and all interpreters."""
        parents = {pid: parent for pid, parent in map(_parent, _pids()) if parent}
        found = {self.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found - {self.pid})

    def zygotes(self) -> list[int]:
        """The server's own children: all that there is where no session is open."""
        return sorted(pid for pid, parent in map(_parent, _pids()) if parent == self.pid)


class Stream:
    """Runs steps over one call.

    Args:
        call: of RunMany.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._answers: dict[int, asyncio.Future[pb.RunManyResponse]] = {}
        self._numbers = itertools.count()
        self._writing = asyncio.Lock()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for answer in self._call:
            self._answers.pop(answer.id).set_result(answer)

    async def run(self, request: pb.RunRequest) -> pb.RunResponse:
        """Run one step; RuntimeError where the server cannot."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        waiting = self._answers[number]
        async with self._writing:
            await self._call.write(pb.RunManyRequest(id=number, run=request))
        async with asyncio.timeout(_CALL_SECONDS):
            answer = await waiting
        if answer.HasField("failure"):
            raise RuntimeError(f"a step of the benchmark was refused: {answer.failure.details}")
        return answer.response

    async def close(self) -> None:
        """End the call."""
        self._call.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


def step_request(
    session: str, code: str, prefix: Sequence[str] = (), wall_ms: int = 0
) -> pb.RunRequest:
    """A step as a node of its own, after a prefix that is the same for equal code."""
    ancestors = [pb.CodeStep(node_id=f"p{i}", code=step) for i, step in enumerate(prefix)]
    return pb.RunRequest(
        session_id=session,
        step=pb.CodeStep(node_id=uuid.uuid4().hex, code=code),
        ancestors=ancestors,
        limits=pb.Limits(wall_ms=wall_ms),
    )


@contextlib.asynccontextmanager
async def serving(mode: str, snapshots: int) -> AsyncIterator[Probe]:
    """A server on a free port, stopped at the end.

    Args:
        mode: as in its settings.
        snapshots: interpreter states that it keeps at most.
    """
    (port,) = ports.free_ports(_HOST, 1)
    settings = {
        "PORT": port,
        "MODE": mode,
        "WORKERS": 2,
        "MAX_SNAPSHOTS": snapshots,
        "LOG_LEVEL": "warning",
        "DRAIN_SECONDS": 1,
    }
    variables = {f"RSTAR_SANDBOX_{name}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.sandbox", env=os.environ | variables
    )
    try:
        async with rpc.channel(f"{_HOST}:{port}") as channel:
            yield Probe(process.pid, channel)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def memory_bytes(pids: Sequence[int]) -> int:
    """Memory that processes hold together, what they share counted once; page tables included."""
    return sum(_kib(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in pids) * 1024 + sum(
        _kib(f"/proc/{pid}/status", "VmPTE:") * 1024 for pid in pids
    )


def _kib(path: str, label: str) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(label):
                return int(line.split()[1])
    return 0


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> tuple[int, int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return pid, int(fields[1])
    return pid, 0
