"""A policy or PPM process of one's own, and what a measurement asks of it."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc

START_SECONDS = 600.0
CALL_SECONDS = 300.0
STOP_SECONDS = 60.0
ADMIN_TOKEN = "bench"  # noqa: S105 - of a process of this measurement alone
_LINE = re.compile(rb"address=(\S+)")


class ServiceDied(RuntimeError):  # noqa: N818 - what happened
    """A process ended; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A candidate: who says to have made it, and what shows who has.

    Attributes:
        version: its label.
        text: of its steps.
        logprob: mean natural-log probability of its tokens.
    """

    version: str
    text: str
    logprob: float


class PolicyProcess:
    """A running policy.

    Attributes:
        pid: of the process.
    """

    def __init__(self, pid: int, channel: grpc.aio.Channel) -> None:
        self.pid = pid
        self._policy = pb_grpc.PolicyServiceStub(channel)
        self._admin = pb_grpc.AdminServiceStub(channel)

    async def propose(self, problem: str, tokens: int, version: str = "") -> Reply:
        """One greedy candidate. Raises grpc.aio.AioRpcError."""
        request = pb.ProposeRequest(
            search_id="bench",
            problem=problem,
            count=1,
            sampling=pb.Sampling(temperature=0.0, max_tokens=tokens, max_steps=0),
            model_version=version,
        )
        replies = [one async for one in self._policy.Propose(request, timeout=CALL_SECONDS)]
        (one,) = replies
        spent = sum(step.tokens for step in one.steps)
        logprob = sum(step.tokens * step.mean_logprob for step in one.steps) / max(spent, 1)
        return Reply(one.model_version, "\n".join(step.text for step in one.steps), logprob)

    async def load(self, version: str) -> pb.LoadResponse:
        """Exchange the model. Raises grpc.aio.AioRpcError."""
        return await self._admin.Load(
            pb.LoadRequest(model=version),
            timeout=CALL_SECONDS,
            metadata=(("authorization", f"Bearer {ADMIN_TOKEN}"),),
        )


@contextlib.asynccontextmanager
async def policy_process(
    store: Path, model: str, state: Path, **settings: object
) -> AsyncIterator[PolicyProcess]:
    """A policy on a free port, stopped at the end.

    Raises:
        ServiceDied: it did not start.
    """
    async with model_process("policy", store, model, state, **settings) as (pid, channel):
        yield PolicyProcess(pid, channel)


@contextlib.asynccontextmanager
async def model_process(
    name: Literal["policy", "ppm"], store: Path, model: str, state: Path, **settings: object
) -> AsyncIterator[tuple[int, grpc.aio.Channel]]:
    """A service of a model on a free port, stopped at the end: its process id, and a channel to it.

    Raises:
        ServiceDied: it did not start.
    """
    given = {
        "STORE": store,
        "MODEL": model,
        "STATE": state,
        "PORT": 0,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "KV_CACHE_GIB": 0.5,
        "DRAIN_SECONDS": 1,
        **{name.upper(): value for name, value in settings.items()},
    }
    prefix = f"RSTAR_{name}_".upper()
    log = state.with_name(f"{state.name}.log")
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"services.{name}",
            env=os.environ | {f"{prefix}{key}": str(value) for key, value in given.items()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            address = await _logged(process, log)
            # What was refused while nobody listened waits longer and longer before it tries again.
            async with rpc.channel(address) as channel:
                while not await _serves(channel):
                    _check(process, log)
                    await asyncio.sleep(0.2)
        async with rpc.channel(address) as channel:
            yield process.pid, channel
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _serves(channel: grpc.aio.Channel) -> bool:
    """Whether a model is served."""
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


async def _logged(process: asyncio.subprocess.Process, log: Path) -> str:
    while not (found := _search(log)):
        _check(process, log)
        await asyncio.sleep(0.1)
    return found


def _search(log: Path) -> str:
    found = _LINE.search(log.read_bytes())
    return found[1].decode() if found else ""


def _check(process: asyncio.subprocess.Process, log: Path) -> None:
    if process.returncode is not None:
        words = log.read_text("utf-8", errors="replace").splitlines()[-20:]
        raise ServiceDied("the service ended:\n" + "\n".join(words))
