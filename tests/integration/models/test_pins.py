"""Pins and nudges over a real Redis."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from redis.asyncio import Redis

from rstar.stack.redis_server import binary
from services.common.models import nudge, pins
from services.common.models.errors import StoreUnreachable
from services.common.models.manifest import Kind


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A real Redis on a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "redis.sock")
        command = [str(binary()), "--port", "0", "--unixsocket", str(path), "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while not (path.exists() and redis.Redis(unix_socket_path=str(path)).ping()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield f"unix://{path}"
        finally:
            server.terminate()
            server.wait(10)


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(url) as made:
        yield made


async def renew(client: Redis, kind: Kind, version: str, *, seconds: int) -> None:
    for command in pins.commands(kind, version, seconds=seconds):
        await client.execute_command(*command)


async def test_a_pin_holds_until_nobody_renews_it(url: str, client: Redis) -> None:
    await renew(client, "policy", "one", seconds=60)
    await renew(client, "ppm", "two", seconds=60)
    assert pins.pinned(url) == {("policy", "one"), ("ppm", "two")}
    assert 0 < await client.ttl(pins.key("policy", "one")) <= 60
    await client.pexpire(pins.key("policy", "one"), 1)
    async with asyncio.timeout(10):
        while ("policy", "one") in pins.pinned(url):
            await asyncio.sleep(0.01)


async def test_a_pin_is_never_cut_short(client: Redis) -> None:
    await renew(client, "policy", "long", seconds=600)
    await renew(client, "policy", "long", seconds=5)
    assert await client.ttl(pins.key("policy", "long")) > 500
    await renew(client, "policy", "long", seconds=1000)
    assert await client.ttl(pins.key("policy", "long")) > 900


def test_where_redis_is_down_nothing_is_known_to_be_free(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="pins in unix://"):
        pins.pinned(f"unix://{tmp_path}/none.sock")


async def test_a_nudge_is_heard(url: str) -> None:
    heard = asyncio.Event()
    listener = asyncio.create_task(nudge.listen(url, "policy", heard.set))
    try:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(nudge.nudge, url, "policy"):
                await asyncio.sleep(0.02)
            await heard.wait()
            assert await asyncio.to_thread(nudge.nudge, url, "ppm") == 0
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
