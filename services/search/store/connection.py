"""The connection to Redis: one server or a cluster, with its errors by name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import redis.asyncio
import redis.exceptions
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

from services.common import redis_clients
from services.search.clients.dependencies import DependencyError
from services.search.store.scripts import Script

_MAX_CONNECTIONS = 64
_CLUSTER_RETRIES = 2

Command = tuple[Any, ...]


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """Bound what Redis may take, and give errors their name."""
    # redis-py's own timeout sends through asyncio.wait_for: Python 3.11's loses cancellations.
    try:
        async with asyncio.timeout(seconds):
            yield
    except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
        raise as_dependency_error(error) from error


def as_dependency_error(error: Exception) -> DependencyError:
    """What Redis or the way to it raised, by its name."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return DependencyError("redis", reason)


class Connection:
    """Redis behind a URL of services.common.redis_clients: a server, cluster or Sentinel.

    A bounded pool of connections, opened as they are needed. Every method raises
    DependencyError("redis") where Redis is down, too slow, or refuses.

    Attributes:
        round_trips: how often a command, script or pipeline went to Redis and back.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self.round_trips = 0
        self._timeout = timeout_seconds
        limits: dict[str, Any] = {
            "socket_timeout": None,  # see _within
            "socket_connect_timeout": timeout_seconds,
            "health_check_interval": 15,
        }
        self._client: redis.asyncio.Redis | RedisCluster
        if redis_clients.is_cluster(url):
            self._client = RedisCluster.from_url(
                redis_clients.plain(url),
                max_connections=_MAX_CONNECTIONS,
                # After a node that has moved or is gone; scripts may be run again.
                retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), _CLUSTER_RETRIES),
                # It takes a node that hangs for gone, and asks the others where its keys are now.
                **(limits | {"socket_timeout": timeout_seconds}),
            )
            self._timeout = (_CLUSTER_RETRIES + 1) * (timeout_seconds + 0.5)
        elif sentinel := redis_clients.pool(url, max_connections=_MAX_CONNECTIONS, **limits):
            self._client = redis.asyncio.Redis(connection_pool=sentinel)
        else:
            # Bursts wait for a connection rather than fail, but no longer than for an answer.
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url, max_connections=_MAX_CONNECTIONS, timeout=timeout_seconds, retry=None, **limits
            )
            self._client = redis.asyncio.Redis(connection_pool=pool)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()
        if isinstance(self._client, redis.asyncio.Redis):
            await self._client.connection_pool.disconnect()

    async def ping(self) -> None:
        """Check that Redis answers."""
        async with _within(self._timeout):
            await self._client.ping()

    async def command(self, *command: Any) -> Any:
        """Run one command."""
        self.round_trips += 1
        async with _within(self._timeout):
            return await self._client.execute_command(*command)

    async def script(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script; its keys share one hash tag."""
        try:
            return await self._evaluate("EVALSHA", script.digest, keys, arguments)
        except redis.exceptions.NoScriptError:
            return await self._evaluate("EVAL", script.source, keys, arguments)

    async def _evaluate(
        self, how: str, what: str, keys: Sequence[str], arguments: Sequence[Any]
    ) -> Any:
        self.round_trips += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.execute_command(how, what, len(keys), *keys, *arguments)
        except redis.exceptions.NoScriptError:
            raise
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            raise as_dependency_error(error) from error

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip (one a node, in a cluster); no transaction.

        What one of them raised stands in its place, as DependencyError.
        """
        if not commands:
            return []
        self.round_trips += 1
        async with _within(self._timeout):
            pipeline = (
                self._client.pipeline(transaction=False)
                if isinstance(self._client, redis.asyncio.Redis)
                else self._client.pipeline()
            )
            async with pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                results = await pipeline.execute(raise_on_error=False)
        return [
            as_dependency_error(result) if isinstance(result, Exception) else result
            for result in results
        ]

    async def messages(self, channel: str) -> AsyncIterator[str]:
        """What is published to a channel from now on, until the connection is lost."""
        if isinstance(self._client, RedisCluster):
            async with _within(self._timeout):
                await self._client.initialize()
        pubsub: Any = self._client.pubsub()
        try:
            async with _within(self._timeout):
                await pubsub.subscribe(channel)
            while True:
                # Its own patience is not the one that loses cancellations.
                async with _within(2 * self._timeout):
                    message = await pubsub.get_message(
                        ignore_subscribe_messages=True, timeout=self._timeout
                    )
                if message is not None:
                    yield message["data"].decode(errors="replace")
                else:
                    # Some versions return at once where there is nothing to read.
                    await asyncio.sleep(0.01)
        finally:
            await pubsub.aclose()


def evaluation(script: Script, keys: Sequence[str], *arguments: Any) -> Command:
    """A script as a command of a pipeline."""
    return ("EVAL", script.source, len(keys), *keys, *arguments)
