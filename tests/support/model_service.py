"""A real policy or PPM server, started as a user starts it."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import rpc

START_SECONDS = 600
STOP_SECONDS = 120
POLL_SECONDS = 0.1

SERVING = health_pb2.HealthCheckResponse.SERVING


class Server:
    """A running server process.

    Attributes:
        process: the process itself.
        log: where it logs.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    async def address(self) -> str:
        """Where it listens, as soon as it does."""
        return await self.logged(r"address=(\S+)")

    async def logged(self, pattern: str) -> str:
        """The first group of a pattern, as soon as the log has it."""
        async with asyncio.timeout(START_SECONDS):
            while not (found := re.search(pattern, self.log.read_text("utf-8"))):
                self.check()
                await asyncio.sleep(POLL_SECONDS)
            return found[1]

    def check(self) -> None:
        """Raise where it has ended, with what it said."""
        if self.process.returncode is not None:
            raise RuntimeError(f"the server ended:\n{self.log.read_text('utf-8')}")

    async def exit_code(self) -> int:
        """How it ended, once it has."""
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()

    def children(self) -> list[psutil.Process]:
        """Every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    async def engine(self, name: str) -> psutil.Process:
        """The engine's process whose title holds `name`, as soon as it is there."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                for child in self.children():
                    with contextlib.suppress(psutil.Error):
                        if name in " ".join(child.cmdline()):
                            return child
                self.check()
                await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def started(name: str, log: Path, **settings: object) -> AsyncIterator[Server]:
    """A server on a free port, whatever its state; killed at the end if it still runs."""
    prefix = f"RSTAR_{name.upper()}_"
    given = {f"{prefix}{field.upper()}": str(value) for field, value in settings.items()}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(prefix)}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"services.{name}",
            env={**inherited, f"{prefix}PORT": "0", **given},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=file,
            stdout=file,
        )
    server = Server(process, log)
    try:
        yield server
    finally:
        left = server.children() if process.returncode is None else []
        if process.returncode is None:
            process.kill()
            await process.wait()
        await gone(left)


async def gone(processes: list[psutil.Process]) -> None:
    """Return once none of these processes runs any more; TimeoutError where one stays."""
    async with asyncio.timeout(STOP_SECONDS):
        while any(_runs(process) for process in processes):
            await asyncio.sleep(POLL_SECONDS)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def health(channel: grpc.aio.Channel, name: str = "") -> int:
    """The health of a service, or of the process as a whole."""
    stub = health_pb2_grpc.HealthStub(channel)
    # On a machine that is busy enough, one that listens is not reached at the first attempt.
    request = health_pb2.HealthCheckRequest(service=name)
    response = await stub.Check(request, timeout=60, wait_for_ready=True)
    return response.status


async def connect(server: Server, name: str = "") -> grpc.aio.Channel:
    """A channel to a server whose service `name` serves, as soon as it does."""
    channel = rpc.channel(await server.address())
    async with asyncio.timeout(START_SECONDS):
        while await health(channel, name) != SERVING:
            server.check()
            await asyncio.sleep(POLL_SECONDS)
    return channel
