"""Pins: versions that live searches need, so that nothing removes them.

A pin is one Redis key a version that expires by itself. Whoever needs the version renews it more
often than that; any number of searches share it, and none has to take it back.
"""

from typing import cast

from services.common.models.errors import StoreUnreachable
from services.common.models.manifest import Kind

PREFIX = "rstar:models:pins"
TTL_SECONDS = 600
TIMEOUT_SECONDS = 5.0


def key(kind: Kind, version: str) -> str:
    """The Redis key of a version's pin."""
    return f"{PREFIX}:{kind}:{version}"


def commands(
    kind: Kind, version: str, *, seconds: int = TTL_SECONDS
) -> list[tuple[str | int, ...]]:
    """The Redis commands that pin a version for `seconds`, unless it is pinned for longer.

    Two of them: a pin that another search holds for longer must not be cut short.
    """
    name = key(kind, version)
    return [("SET", name, 1, "EX", seconds, "NX"), ("EXPIRE", name, seconds, "GT")]


def pinned(redis_url: str) -> set[tuple[Kind, str]]:
    """All versions that are pinned now.

    Raises:
        StoreUnreachable: Redis does not answer; nothing may then be removed.
    """
    from redis import RedisError

    from services.common import redis_clients

    try:
        with redis_clients.sync_client(
            redis_url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            decode_responses=True,
        ) as redis:
            names = list(redis.scan_iter(match=f"{PREFIX}:*", count=1000))
    except (RedisError, ValueError) as error:
        raise StoreUnreachable(f"pins in {redis_url}: {error}") from error
    found: set[tuple[Kind, str]] = set()
    for name in names:
        kind, _, version = name.removeprefix(f"{PREFIX}:").partition(":")
        if kind in {"policy", "ppm"}:
            found.add((cast("Kind", kind), version))
    return found
