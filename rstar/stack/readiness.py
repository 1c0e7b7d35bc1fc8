"""Asks a service whether it is ready, in the way that each kind of service answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import httpx
import redis.asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.exceptions import RedisError

HTTP_OK = 200
# Probes come shortly after each other: the next one must not get the connection that the last one
# is about to close.
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True, slots=True)
class Readiness:
    """One answer.

    Attributes:
        ready: whether the service can do its work.
        answered: whether it answered at all; one that lives but hangs does not.
        detail: what keeps it from being ready, or what a ready one has to say; may be empty.
    """

    ready: bool
    answered: bool = True
    detail: str = ""


Probe = Callable[[float], Awaitable[Readiness]]
"""Asks once, within so many seconds; never raises for what the service does."""


def grpc_probe(target: str) -> Probe:
    """Ask `grpc.health.v1` for the process as a whole."""

    async def probe(timeout: float) -> Readiness:
        async with grpc.aio.insecure_channel(target, options=OWN_CONNECTION) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
            except grpc.aio.AioRpcError as error:
                return Readiness(False, False, f"{error.code().name}: {error.details()}")
        serving = reply.status == health_pb2.HealthCheckResponse.SERVING
        return Readiness(serving, True, "" if serving else "not serving")

    return probe


def http_probe(url: str) -> Probe:
    """Ask `GET url`: 200 where ready, and what it waits for under `dependencies` in its JSON."""

    async def probe(timeout: float) -> Readiness:
        try:
            async with httpx.AsyncClient(
                trust_env=False,
                verify=False,  # noqa: S501 - plain HTTP; saves loading the certificates each time
                timeout=timeout,
            ) as client:
                reply = await client.get(url)
            body = reply.json()
        except (httpx.HTTPError, ValueError) as error:
            return Readiness(False, False, f"{type(error).__name__}: {error}")
        parts = body.get("dependencies", {}) if isinstance(body, dict) else {}
        waiting = [f"{n}: {part.get('detail')}" for n, part in parts.items() if not part["ready"]]
        return Readiness(reply.status_code == HTTP_OK, True, "; ".join(waiting))

    return probe


def redis_probe(url: str) -> Probe:
    """Send PING to a Redis; one that is still loading its file is not ready."""

    async def probe(timeout: float) -> Readiness:
        client = redis.asyncio.from_url(
            url, socket_connect_timeout=timeout, socket_timeout=timeout, retry=None
        )
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            return Readiness(False, False, f"{type(error).__name__}: {error}")
        finally:
            await client.aclose()
        return Readiness(True)

    return probe
