"""The durable log of each search: one Redis stream a search.

All keys of a search share the hash tag `{search_id}`, so that they live on one node of a cluster.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import redis.asyncio
import redis.exceptions

from services.search.clients.dependencies import DependencyError
from services.search.store.events import Event, decode, encode


class EventLog:
    """Appends to and reads the logs of searches.

    Every method raises DependencyError("redis") where Redis is down or too slow.
    """

    def __init__(self, url: str, *, timeout_seconds: float, retention_seconds: int) -> None:
        self._redis = redis.asyncio.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            health_check_interval=15,
            retry=None,
        )
        self._retention_seconds = retention_seconds

    @staticmethod
    def key(search_id: str) -> str:
        """The stream of a search."""
        return f"rstar:search:{{{search_id}}}:log"

    async def ping(self) -> None:
        """Check that Redis answers."""
        try:
            await self._redis.ping()
        except (redis.exceptions.RedisError, OSError) as error:
            raise DependencyError("redis", _reason(error)) from error

    async def append(self, search_id: str, events: Sequence[Event], *, last: bool = False) -> None:
        """Append events in order, in one round trip; after the last, the log's expiry is set."""
        key = self.key(search_id)
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                for event in events:
                    kind, body = encode(event)
                    pipeline.xadd(key, {"kind": kind, "body": body})
                # A search whose replica dies must not stay for ever either.
                factor = 1 if last else 2
                pipeline.expire(key, factor * self._retention_seconds)
                await pipeline.execute()
        except (redis.exceptions.RedisError, OSError) as error:
            raise DependencyError("redis", _reason(error)) from error

    async def read(self, search_id: str) -> list[Event]:
        """All events of a search; empty where it is unknown. LogError for what cannot be read."""
        try:
            entries = await self._redis.xrange(self.key(search_id))
        except (redis.exceptions.RedisError, OSError) as error:
            raise DependencyError("redis", _reason(error)) from error
        return [decode(*_kind_and_body(fields)) for _, fields in entries or ()]

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()


def _kind_and_body(fields: Mapping[Any, Any] | None) -> tuple[str, bytes]:
    fields = fields or {}
    return fields.get(b"kind", b"").decode(errors="replace"), fields.get(b"body", b"")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
