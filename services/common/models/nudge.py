"""A nudge through Redis: an alias has moved, look now. Only a hint; services also poll."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from services.common import logs
from services.common.models.errors import StoreUnreachable
from services.common.models.manifest import Kind

PREFIX = "rstar:models:moved"
TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 5.0

log = logs.get(__name__)


def channel(kind: Kind) -> str:
    """The Redis channel of a kind's aliases."""
    return f"{PREFIX}:{kind}"


def nudge(redis_url: str, kind: Kind) -> int:
    """Tell all who listen; how many did.

    Raises:
        StoreUnreachable: Redis does not answer; the services find out when they next poll.
    """
    from redis import RedisError

    from services.common import redis_clients

    try:
        with redis_clients.sync_client(
            redis_url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        ) as redis:
            heard = redis.publish(channel(kind), b"")
    except (RedisError, ValueError) as error:
        raise StoreUnreachable(
            f"the alias is moved, but {redis_url} could not be told: {error}"
        ) from error
    return int(heard)


async def listen(redis_url: str, kind: Kind, heard: Callable[[], None]) -> None:
    """Call `heard` at every nudge, and after each connection; for ever, until cancelled."""
    from redis.asyncio import RedisError

    from services.common import redis_clients

    down = False
    while True:
        # No timeout of reads: silence is the rule. A dead peer shows by the health check.
        client = redis_clients.client(redis_url, health_check_interval=30)
        try:
            async with client, client.pubsub() as subscription:
                await subscription.subscribe(channel(kind))
                down = False
                await _hear(subscription, heard)
        except (RedisError, OSError) as error:
            if not down:
                log.warning("no nudges", reason=str(error))
            down = True
        finally:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()
        await asyncio.sleep(RETRY_SECONDS)


async def _hear(subscription: Any, heard: Callable[[], None]) -> None:
    async for _ in subscription.listen():
        heard()
