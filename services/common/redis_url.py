"""A setting that holds the URL of a Redis, refused where it is none."""

from typing import Annotated

from pydantic import AfterValidator


def _checked(url: str) -> str:
    if url:
        # Not every service that shares its settings with those that use Redis has its client.
        from services.common import redis_clients

        redis_clients.check(url)
    return url


RedisUrl = Annotated[str, AfterValidator(_checked)]
"""A URL of services.common.redis_clients, or empty."""
