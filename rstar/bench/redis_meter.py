"""What the searches cost Redis: round trips and bytes, as the server itself counts them."""

import json
from dataclasses import dataclass
from typing import Any, cast

import redis.asyncio

_LOGS = "rstar:search:*"


@dataclass(frozen=True, slots=True)
class RedisUse:
    """Counters since the server's start.

    Attributes:
        reads: times that the server read from a connection: the round trips, from above, since a
            request that is larger than a socket's buffer is read in pieces.
        commands: commands that it ran, those inside of scripts included.
    """

    reads: int
    commands: int

    def since(self, before: "RedisUse") -> "RedisUse":
        """What was used after `before`, this meter's own read and command taken off."""
        return RedisUse(self.reads - before.reads - 1, self.commands - before.commands - 1)


class RedisMeter:
    """Reads the counters of one Redis."""

    def __init__(self, url: str) -> None:
        self._redis = redis.asyncio.from_url(url, decode_responses=True)

    async def use(self) -> RedisUse:
        """The counters now."""
        stats = await self._redis.info("stats")
        return RedisUse(stats["total_reads_processed"], stats["total_commands_processed"])

    async def keys(self) -> list[str]:
        """Keys that belong to searches."""
        return [key async for key in self._redis.scan_iter(match=_LOGS, count=1000)]

    async def bytes(self, keys: list[str]) -> int:
        """Memory that keys take, in bytes."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.memory_usage(key, samples=0)
        return sum(size or 0 for size in await pipeline.execute())

    async def nodes(self, state: str) -> int:
        """Nodes of a search as of its last logged trial, by the key of its state."""
        usage = await cast("Any", self._redis.hget(state, "usage"))
        return int(json.loads(usage)["nodes"]) if usage else 0

    async def clear(self) -> None:
        """Delete all keys."""
        await self._redis.flushdb()

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()
