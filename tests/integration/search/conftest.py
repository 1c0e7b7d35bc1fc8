"""The search service over a real Redis and a real grader, with scripted policy, PPM and sandbox."""

import asyncio
import contextlib
import functools
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import redis
import uvicorn

from rstar.stack.redis_server import binary
from services.common.grading.grader import Grader
from services.common.pb.policy.v1 import policy_pb2_grpc
from services.common.pb.ppm.v1 import ppm_pb2_grpc
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from services.search.__main__ import listen
from services.search.front import Front, open_front
from services.search.manager import Manager
from services.search.rest.app import create_app
from services.search.settings import SearchSettings
from services.search.store.events import Event
from tests.support.scripted import (
    PPM_SERVICE,
    ScriptedPolicy,
    ScriptedPpm,
    ScriptedSandbox,
    serving,
    solution,
)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis with an append-only file, on a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "redis.sock")
        command = [str(binary()), "--port", "0", "--unixsocket", str(path), "--dir", folder]
        server = subprocess.Popen([*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL)
        try:
            wait_for(lambda: path.exists() and redis.Redis(unix_socket_path=str(path)).ping())
            yield f"unix://{path}"
        finally:
            server.terminate()
            server.wait(10)


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(0.02)


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """As wait_for, letting the event loop run."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@dataclass
class Rig:
    """A running search service and what it stands on."""

    client: httpx.AsyncClient
    front: Front
    settings: SearchSettings
    policy: ScriptedPolicy
    ppm: ScriptedPpm
    sandbox: ScriptedSandbox

    @property
    def manager(self) -> Manager:
        """What runs the searches."""
        return self.front.manager

    async def events(self, search_id: str) -> list[Event]:
        """The log of a search."""
        return [entry.event for entry in await self.manager.store.entries(search_id)]


@contextlib.asynccontextmanager
async def start_rig(grader: Grader, redis_url: str, /, **changes: object) -> AsyncIterator[Rig]:
    """Start everything, the REST front end on a real socket."""
    policy = ScriptedPolicy(lambda request, index: solution("# Step 1: count\nprint 2"))
    ppm, sandbox = ScriptedPpm(), ScriptedSandbox()
    async with (
        serving(policy_pb2_grpc.add_PolicyServiceServicer_to_server, policy) as policy_target,
        serving(ppm_pb2_grpc.add_PpmServiceServicer_to_server, ppm, PPM_SERVICE) as ppm_target,
        serving(sandbox_pb2_grpc.add_SandboxServiceServicer_to_server, sandbox) as sandbox_target,
    ):
        targets = {
            "redis_url": redis_url,
            "policy_target": policy_target,
            "ppm_target": ppm_target,
            "sandbox_target": sandbox_target,
            # A loaded machine is no fault here.
            "dependency_timeout_seconds": 20.0,
        }
        settings = SearchSettings(**(targets | changes))  # type: ignore[arg-type]  # by name
        manager = Manager(settings, grader)
        await manager.start()
        listener = listen("127.0.0.1", 0)
        front = open_front(manager, settings)
        app = create_app(front, settings)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                yield Rig(client, front, settings, policy, ppm, sandbox)
        finally:
            server.should_exit = True
            await task
            await manager.close()


StartRig = Callable[..., contextlib.AbstractAsyncContextManager[Rig]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rig(redis_url: str) -> AsyncIterator[StartRig]:
    """Starts a rig; its keyword arguments change settings of the search service.

    The grader is shared: starting it imports sympy.
    """
    async with Grader() as grader:
        yield functools.partial(start_rig, grader, redis_url)
