"""Redis behind a URL: one server, a cluster, or whichever server its Sentinels call the master.

    redis://, rediss://, unix://                            one server; rediss is TLS
    redis+cluster://, rediss+cluster://                     a cluster, by any of its nodes
    redis+sentinel://[user:password@]a:26379,b:26379/NAME[/DATABASE], rediss+sentinel://
                                                            the master that Sentinels know as NAME

Options stand after `?`, as redis-py names them; `ssl_ca_certs=/path` for one. User and password are
the master's. With rediss+sentinel:// Sentinels and master are both spoken to over TLS.
"""

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

CLUSTER = "+cluster"
SENTINEL = "+sentinel"
_SENTINEL_PORT = 26379
_PARTS = (1, 2)


def is_cluster(url: str) -> bool:
    """Whether a URL names a cluster."""
    return urlsplit(url).scheme.endswith(CLUSTER)


def check(url: str) -> None:
    """ValueError, which quotes nothing of it, where a URL is none of the above."""
    scheme = url.partition("://")[0]
    try:
        if scheme.endswith(SENTINEL):
            _sentinel(url)
        else:
            redis.asyncio.connection.parse_url(plain(url))
    except ValueError:
        # What is wrong with it is not said by its parser without parts of it: a password, maybe.
        raise ValueError(
            "is no URL of Redis: redis://, rediss:// or unix://, +cluster:// or +sentinel:// after "
            "redis or rediss, a port that is a number, and options as redis-py has them"
        ) from None


def plain(url: str) -> str:
    """A cluster's URL as redis-py has it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.removesuffix(CLUSTER)}://{rest}"


def pool(url: str, **options: Any) -> redis.asyncio.ConnectionPool | None:
    """Connections to the master of a Sentinel URL, found anew for each; None for other URLs.

    A pool of at most `max_connections`, if given. ValueError where the URL names no master.
    """
    if not urlsplit(url).scheme.endswith(SENTINEL):
        return None
    nodes, name, given = _sentinel(url)
    sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        nodes, sentinel_kwargs=_of_sentinels(given, options)
    )
    return redis.asyncio.sentinel.SentinelConnectionPool(  # type: ignore[no-untyped-call]
        name, sentinel, **given, **options
    )


def client(url: str, **options: Any) -> Any:
    """An asynchronous client of any of the URLs; ValueError where it is none of them."""
    if is_cluster(url):
        return redis.asyncio.RedisCluster.from_url(plain(url), **options)
    if (connections := pool(url, **options)) is not None:
        return redis.asyncio.Redis.from_pool(connections)
    return redis.asyncio.Redis.from_url(url, **options)


def sync_client(url: str, **options: Any) -> Any:
    """A synchronous client of any of the URLs; ValueError where it is none of them."""
    if is_cluster(url):
        return redis.RedisCluster.from_url(plain(url), **options)
    if not urlsplit(url).scheme.endswith(SENTINEL):
        return redis.Redis.from_url(url, **options)
    nodes, name, given = _sentinel(url)
    sentinel = redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        nodes, sentinel_kwargs=_of_sentinels(given, options)
    )
    connections = redis.sentinel.SentinelConnectionPool(  # type: ignore[no-untyped-call]
        name, sentinel, **given, **options
    )
    return redis.Redis.from_pool(connections)


def _sentinel(url: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """Addresses of the Sentinels, the master's name, and options of connections to it."""
    parts = urlsplit(url)
    name, *database = [unquote(part) for part in parts.path.strip("/").split("/")]
    if not name or len(database) + 1 not in _PARTS or not all(map(str.isdigit, database)):
        raise ValueError("a Sentinel URL ends in /MASTER or /MASTER/DATABASE")
    credentials, _, hosts = parts.netloc.rpartition("@")
    nodes = []
    for host in hosts.split(","):
        address = urlsplit(f"//{host}")
        if not address.hostname:
            raise ValueError("a Sentinel URL names host:port, with commas between several")
        nodes.append((address.hostname, address.port or _SENTINEL_PORT))
    # redis-py reads the rest: user, password, and what stands after the `?`.
    scheme = parts.scheme.removesuffix(SENTINEL)
    given = dict(
        redis.asyncio.connection.parse_url(f"{scheme}://{credentials}@host/?{parts.query}")
    )
    given.pop("connection_class", None)
    given.pop("host", None)
    if scheme == "rediss":
        given["ssl"] = True
    return nodes, name, {**given, "db": int(database[0]) if database else 0}


def _of_sentinels(given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Options of connections to the Sentinels themselves: those of time and TLS."""
    both = {**given, **options}
    return {key: value for key, value in both.items() if key.startswith(("socket_", "ssl"))}
