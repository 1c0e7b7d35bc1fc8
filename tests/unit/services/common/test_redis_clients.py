import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from rstar.stack.ports import free_ports
from rstar.stack.redis_server import binary
from services.common import redis_clients
from services.common.models import nudge
from services.search.store.connection import Connection
from trainer.harvest.queue import Queue


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[str]:
    """A Sentinel's URL of a master with a password, both of them real."""
    master, watcher = free_ports("127.0.0.1", 2)
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {watcher}\ndir {tmp_path}\nsentinel monitor main 127.0.0.1 {master} 1\n"
        "sentinel auth-pass main secret/1\n"
    )
    commands = (
        [str(binary()), "--port", str(master), "--save", "", "--requirepass", "secret/1"],
        [str(binary()), str(config), "--sentinel"],
    )
    with ExitStack() as stack:
        for command in commands:
            process = stack.enter_context(
                subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
            )
            stack.callback(process.terminate)
        wait_for(f"redis://:secret%2F1@127.0.0.1:{master}")
        wait_for(f"redis://127.0.0.1:{watcher}")
        yield f"redis+sentinel://:secret%2F1@127.0.0.1:{watcher},127.0.0.1:1/main/2"


def wait_for(url: str) -> None:
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
    # With the password: without it, redis-py tries again until the retries are spent.
    with redis.Redis.from_url(url, retry=retry) as client:
        client.ping()


async def test_everybody_finds_the_master_by_its_sentinels(sentinel: str) -> None:
    connection = Connection(sentinel, timeout_seconds=5)
    await connection.command("SET", "a", "1")
    assert await connection.pipeline([("GET", "a")]) == [b"1"]
    await connection.close()

    with redis_clients.sync_client(sentinel) as client:
        assert client.get("a") == b"1"
        assert client.connection_pool.connection_kwargs["db"] == 2

    async with Queue(sentinel, "h", "w", lease_seconds=10) as queue:
        await queue.feed(3)
        assert (await queue.tally()).total == 3
        assert await queue.done() == set()

    heard = asyncio.Event()
    listening = asyncio.create_task(nudge.listen(sentinel, "policy", heard.set))
    while not await asyncio.to_thread(nudge.nudge, sentinel, "policy"):
        await asyncio.sleep(0.02)
    await asyncio.wait_for(heard.wait(), 10)
    listening.cancel()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host:26379",
        "redis+sentinel://host:26379/main/two",
        "redis+sentinel://host:26379/main/2/3",
        "redis+sentinel:///main",
    ],
)
def test_a_sentinel_url_names_hosts_and_a_master(url: str) -> None:
    with pytest.raises(ValueError, match="Sentinel URL"):
        redis_clients.client(url)


def test_tls_reaches_sentinels_and_master_alike() -> None:
    url = "rediss+sentinel://user:secret@a:26379,b/main?ssl_ca_certs=/redis/ca.crt"
    connections = redis_clients.pool(url, socket_timeout=3)
    assert isinstance(connections, redis.asyncio.sentinel.SentinelConnectionPool)
    assert issubclass(connections.connection_class, redis.asyncio.SSLConnection)
    assert connections.connection_kwargs["username"] == "user"
    first, second = connections.sentinel_manager.sentinels
    for one, (host, port) in zip((first, second), (("a", 26379), ("b", 26379)), strict=True):
        given = one.connection_pool.connection_kwargs
        assert (given["host"], given["port"]) == (host, port)
        assert given["ssl_ca_certs"] == "/redis/ca.crt"
        assert issubclass(one.connection_pool.connection_class, redis.asyncio.SSLConnection)
        # They have a password of their own, if any.
        assert "password" not in given or given["password"] is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "rediss://user:password@host:1/2?ssl_ca_certs=/ca.pem",
        "unix:///run/redis.sock",
        "redis+cluster://host:1",
        "rediss+cluster://host",
        "redis+sentinel://user:password@a:1,b/main/2",
        "rediss+sentinel://a/main?ssl_ca_certs=/ca.pem",
    ],
)
def test_every_kind_of_url_passes_the_check(url: str) -> None:
    redis_clients.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:6379",
        "http://host",
        "redis+other://host",
        "redis://host:99999",
        "redis://host:pw",
        "redis://host/0?max_connections=pw",
        "redis+sentinel://a:1",
        "redis+sentinel://:1/main",
    ],
)
def test_what_is_no_url_of_redis_is_refused_without_a_quotation(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL of Redis") as refused:
        redis_clients.check(url)
    assert "pw" not in str(refused.value)
