"""A real sandbox server, started as a user starts it, and a client of it."""

import asyncio
import os
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from services.common import rpc
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc

START_SECONDS = 60
STOP_SECONDS = 30
CALL_SECONDS = 60


class Server:
    """A running server; `said` is its log up to the line with its address."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: grpc.aio.Channel, said: str
    ) -> None:
        self.process = process
        self.said = said
        address = re.search(r"address=(\S+)", said)[1]
        self.channel = channel
        self.address = address
        self.stub = sandbox_pb2_grpc.SandboxServiceStub(channel)

    def descendants(self) -> set[int]:
        """Every process below the server, zombies included: the zygote and what it made."""
        return descendants(self.process.pid)

    @asynccontextmanager
    async def session(self, name: str = "") -> AsyncIterator["Session"]:
        """A session, closed at the end."""
        name = name or uuid.uuid4().hex
        await self.stub.OpenSession(pb.OpenSessionRequest(session_id=name), timeout=CALL_SECONDS)
        try:
            yield Session(self, name)
        finally:
            await self.stub.CloseSession(
                pb.CloseSessionRequest(session_id=name), timeout=CALL_SECONDS
            )


class Session:
    """An open session."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    async def run(
        self, code: str, ancestors: Sequence[str] = (), *, node: str = "", **limits: int
    ) -> pb.RunResponse:
        """Run a step after ancestors n0, n1, ...; it is by default the next of them."""
        return await self.server.stub.Run(
            self.request(code, ancestors, node=node, **limits), timeout=CALL_SECONDS
        )

    def request(
        self, code: str, ancestors: Sequence[str] = (), *, node: str = "", **limits: int
    ) -> pb.RunRequest:
        """The request that `run` sends."""
        steps = [pb.CodeStep(node_id=f"n{i}", code=text) for i, text in enumerate(ancestors)]
        return pb.RunRequest(
            session_id=self.name,
            step=pb.CodeStep(node_id=node or f"n{len(steps)}", code=code),
            ancestors=steps,
            limits=pb.Limits(**limits),
        )


def status(pid: int) -> list[str]:
    """State, parent and the further fields of a process; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    """Whether a process runs or could."""
    return status(pid)[:1] not in ([], ["Z"])


def descendants(pid: int) -> set[int]:
    """Every process below another, zombies included."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := status(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when the condition holds; TimeoutError where it does not come to."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(
    *arguments: str, run_as: str = "", **environment: object
) -> AsyncIterator[Server]:
    """A server on a free port, gone with all its processes at the end.

    Args:
        arguments: of its command line.
        run_as: who starts it (see run_as.py); by default who runs the tests.
        environment: its settings.
    """
    launcher = [sys.executable, "-m", "tests.support.run_as", run_as] if run_as else []
    variables = {f"RSTAR_SANDBOX_{name.upper()}": str(value) for name, value in environment.items()}
    process = await asyncio.create_subprocess_exec(
        *launcher,
        sys.executable,
        "-m",
        "services.sandbox",
        *arguments,
        env={**os.environ, "RSTAR_SANDBOX_PORT": "0", **variables},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            said = await _first_words(process)
            address = re.search(r"address=(\S+)", said)[1]
        drain = asyncio.create_task(_drain(process))
        async with rpc.channel(address) as channel:
            yield Server(process, channel, said)
    finally:
        children = descendants(process.pid)
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
    await drain
    assert process.returncode in (0, -signal.SIGKILL)
    assert not {child for child in children if alive(child)}


async def _first_words(process: asyncio.subprocess.Process) -> str:
    said = ""
    async for line in process.stderr:
        said += line.decode()
        if "address=" in line.decode():
            return said
    await process.wait()
    raise RuntimeError(f"the server did not start:\n{said}")


async def _drain(process: asyncio.subprocess.Process) -> None:
    async for _ in process.stderr:
        pass
