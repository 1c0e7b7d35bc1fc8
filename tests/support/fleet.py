"""A whole stack as processes that can be killed, stopped and started again, each on its own."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import grpc
import httpx
import redis.asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar.stack.ports import free_ports
from rstar.stack.redis_server import binary
from services.search.store.connection import Connection
from services.search.store.searches import SearchStore
from tests.support.proxy import Proxy
from tests.support.sandbox_server import alive, descendants

START_SECONDS = 60.0
LOCALHOST = "127.0.0.1"


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    """Return when a condition holds; TimeoutError where it does not come to."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


class Child:
    """One process of the fleet."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, object],
        ready: Callable[[], Awaitable[bool]],
        log: Path,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = {**os.environ, **{k: str(v) for k, v in environment.items()}}
        self._ready = ready
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._family: set[int] = set()

    @property
    def pid(self) -> int:
        """Its id; it must have been started."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        await self.ready()

    def launch(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )

    async def ready(self) -> None:
        """Wait until it is ready."""
        async with asyncio.timeout(START_SECONDS):
            while not await self._ready():
                assert self._process is not None
                assert self._process.poll() is None, f"{self.name}:\n{self.said()}"
                await asyncio.sleep(0.05)

    def said(self) -> str:
        """Its output so far."""
        return self._log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._family |= descendants(self.pid)
        self.send(signal.SIGKILL)
        await self.gone()

    async def gone(self, seconds: float = 30.0) -> int:
        """Wait until it has ended; its exit code."""
        process = self._process
        assert process is not None
        async with asyncio.timeout(seconds):
            while (code := process.poll()) is None:
                await asyncio.sleep(0.02)
        return code

    async def stop(self) -> None:
        """End it, in whatever state it is, and see that nothing of it is left."""
        process = self._process
        if process is None:
            return
        self._family |= descendants(process.pid)
        if process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                await self.gone(20)
            except TimeoutError:
                self.send(signal.SIGKILL)
                await self.gone()
                raise
        async with asyncio.timeout(20):
            while any(alive(child) for child in self._family):
                await asyncio.sleep(0.05)


class Fleet:
    """Redis, sandbox, policy, PPM, and replicas of the search.

    Attributes:
        redis, sandbox, policy, ppm: its processes.
        replicas: the search service, more than once.
        redis_url: where Redis is.
        proxies: through these the replicas reach Redis, policy and sandbox.
        store: what is in it.
    """

    def __init__(self, folder: Path, *, think_seconds: float, **search: object) -> None:
        self._folder = folder
        self._search = search
        self.redis_url = f"unix://{folder}/redis.sock"
        sandbox_port, policy_port, ppm_port, *proxy_ports = free_ports(LOCALHOST, 5)
        self.targets = {
            "sandbox": f"{LOCALHOST}:{sandbox_port}",
            "policy": f"{LOCALHOST}:{policy_port}",
            "ppm": f"{LOCALHOST}:{ppm_port}",
        }
        self.proxies = {
            "redis": Proxy(folder / "proxy.sock", folder / "redis.sock"),
            "sandbox": Proxy((LOCALHOST, proxy_ports[0]), (LOCALHOST, sandbox_port)),
            "policy": Proxy((LOCALHOST, proxy_ports[1]), (LOCALHOST, policy_port)),
        }
        self._proxied = {
            **self.targets,
            "sandbox": f"{LOCALHOST}:{proxy_ports[0]}",
            "policy": f"{LOCALHOST}:{proxy_ports[1]}",
        }
        self.max_sessions = 48
        self.redis = self._child("redis", self._redis_command(), {}, self._redis_answers)
        self.sandbox = self._child(
            "sandbox",
            [sys.executable, "-m", "services.sandbox"],
            {
                "RSTAR_SANDBOX_PORT": sandbox_port,
                "RSTAR_SANDBOX_MAX_SESSIONS": self.max_sessions,
                "RSTAR_SANDBOX_DRAIN_SECONDS": 1,
                "RSTAR_SANDBOX_LOG_LEVEL": "warning",
            },
            self._grpc_ready("sandbox"),
        )
        self.policy = self._model("policy", policy_port, think_seconds)
        self.ppm = self._model("ppm", ppm_port, 0.0)
        self.replicas: list[Replica] = []
        self.store = SearchStore(
            Connection(self.redis_url, timeout_seconds=10.0),
            replica="test",
            lease_seconds=1.0,
            retention_seconds=60,
        )

    async def start(self, replicas: int) -> None:
        """Start everything, side by side."""
        self.replicas = [self.replica(f"search-{number}") for number in range(replicas)]
        await asyncio.gather(*(child.start() for child in self.children()))

    def children(self) -> "list[Child]":
        """All processes."""
        return [self.redis, self.sandbox, self.policy, self.ppm, *self.replicas]

    async def stop(self) -> None:
        """End everything; raises where one does not end by itself, or leaves processes."""
        with contextlib.suppress(Exception):
            await self.store.close()
        for group in (self.replicas, [self.policy, self.ppm, self.sandbox, self.redis]):
            await asyncio.gather(*(child.stop() for child in group))

    def replica(self, name: str, **changes: object) -> "Replica":
        """A search service, not started yet."""
        rest, rpc = free_ports(LOCALHOST, 2)
        settings = {
            "port": rest,
            "grpc_port": rpc,
            "redis_url": f"unix://{self._folder}/proxy.sock",
            **{f"{name}_target": target for name, target in self._proxied.items()},
            **self._search,
            **changes,
        }
        environment = {f"RSTAR_SEARCH_{key}".upper(): value for key, value in settings.items()}
        return Replica(name, rest, environment, self._folder / f"{name}.log")

    def _child(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, object],
        ready: Callable[[], Awaitable[bool]],
    ) -> Child:
        return Child(name, command, environment, ready, self._folder / f"{name}.log")

    def _model(self, name: str, port: int, seconds: float) -> Child:
        command = [
            sys.executable,
            "-m",
            "tests.support.paced_models",
            name,
            str(port),
            str(seconds),
        ]
        return self._child(name, command, {}, self._grpc_ready(name))

    def _redis_command(self) -> list[str]:
        return [
            *(str(binary()), "--port", "0", "--unixsocket", f"{self._folder}/redis.sock"),
            *("--dir", str(self._folder), "--appendonly", "yes", "--save", ""),
            *("--maxmemory-policy", "noeviction"),
        ]

    async def _redis_answers(self) -> bool:
        try:
            async with redis.asyncio.from_url(self.redis_url) as client:
                return bool(await client.ping())
        except (redis.exceptions.RedisError, OSError):
            return False

    def _grpc_ready(self, name: str) -> Callable[[], Awaitable[bool]]:
        async def ready() -> bool:
            async with grpc.aio.insecure_channel(self.targets[name]) as channel:
                try:
                    reply = await health_pb2_grpc.HealthStub(channel).Check(
                        health_pb2.HealthCheckRequest(), timeout=2
                    )
                except grpc.aio.AioRpcError:
                    return False
                return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

        return ready


class Replica(Child):
    """One process of the search service."""

    def __init__(self, name: str, port: int, environment: Mapping[str, object], log: Path) -> None:
        self.url = f"http://{LOCALHOST}:{port}"
        self.target = f"{LOCALHOST}:{environment['RSTAR_SEARCH_GRPC_PORT']}"
        command = [sys.executable, "-m", "services.search"]
        super().__init__(name, command, environment, self._is_ready, log)

    async def _is_ready(self) -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{self.url}/ready", timeout=5)).status_code == 200
            except httpx.HTTPError:
                return False


@contextlib.asynccontextmanager
async def running(
    folder: Path, *, replicas: int = 2, think_seconds: float = 0.1, **search: object
) -> AsyncIterator[Fleet]:
    """A fleet, gone with all its processes at the end."""
    fleet = Fleet(folder, think_seconds=think_seconds, **search)
    async with contextlib.AsyncExitStack() as proxies:
        for proxy in fleet.proxies.values():
            await proxies.enter_async_context(proxy.serving())
        try:
            await fleet.start(replicas)
            yield fleet
        finally:
            await fleet.stop()
