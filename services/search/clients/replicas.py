"""The replicas of one service: where they are, whether they are there, what they can carry."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import logs, rpc
from services.common.tls import ClientTls
from services.search.clients import routing
from services.search.clients.breaker import Breaker
from services.search.clients.dependencies import DependencyError
from services.search.clients.gate import Gate

log = logs.get(__name__)

Stub = TypeVar("Stub")

_RESOLVE_SECONDS = 10.0
_DNS = "dns:///"
# A replica that did not serve a version is not asked for it again for so long.
_LACK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one replica can carry, in the service's own units.

    Attributes:
        capacity: units that it works on at once.
        places: units worth having in flight towards it: a little more, so that it never waits.
    """

    capacity: int
    places: int


Learn = Callable[[grpc.aio.Channel, float], Awaitable[Limits]]
"""Asks a replica for its limits within so many seconds; raises grpc.aio.AioRpcError."""


class Endpoint:
    """One replica.

    Attributes:
        address: its gRPC target.
        channel: to it.
        breaker: of the calls to it.
        load: units in flight to it.
        limits: what it can carry.
        learned: whether the limits are its own, not yet assumed.
        ready: whether its last health check found it ready, or there was none yet.
        detail: what its last health check said; empty where it was ready.
    """

    def __init__(self, address: str, channel: grpc.aio.Channel, limits: Limits) -> None:
        self.address = address
        self.channel = channel
        self.breaker = Breaker()
        self.load = 0
        self.limits = limits
        self.learned = False
        self.ready = True
        self.detail = "not checked yet"
        self._stubs: dict[Callable[[grpc.aio.Channel], object], object] = {}
        self._lacking: dict[str, float] = {}

    @property
    def capacity(self) -> int:
        """Units that it works on at once."""
        return self.limits.capacity

    def stub(self, make: Callable[[grpc.aio.Channel], Stub]) -> Stub:
        """The replica's stub of a kind, made once."""
        if make not in self._stubs:
            self._stubs[make] = make(self.channel)
        return cast("Stub", self._stubs[make])

    def lacks(self, version: str) -> None:
        """It has said that it does not serve a version."""
        now = time.monotonic()
        self._lacking = {name: until for name, until in self._lacking.items() if until > now}
        self._lacking[version] = now + _LACK_SECONDS

    def may_serve(self, version: str) -> bool:
        """Whether it has not just said that it does not serve a version."""
        return self._lacking.get(version, 0.0) <= time.monotonic()

    @contextlib.contextmanager
    def carrying(self, units: int = 1) -> Iterator[None]:
        """Count units as in flight."""
        self.load += units
        try:
            yield
        finally:
            self.load -= units


class Replicas:
    """All replicas of one service, and the gate before them.

    Args:
        name: the service, for errors.
        target: `host:port`, several of them with commas between, or `dns:///host:port`, whose
            addresses are looked up again every few seconds.
        assumed: limits of a replica until it has told its own.
        learn: asks for them.
        check_seconds: how long a replica may take to say that it is ready.
        tls: how to dial; None in the clear.
    """

    def __init__(
        self,
        name: str,
        target: str,
        assumed: Limits,
        learn: Learn,
        *,
        check_seconds: float,
        tls: ClientTls | None = None,
    ) -> None:
        self.name = name
        self._target = target
        self._assumed = assumed
        self._learn = learn
        self._check_seconds = check_seconds
        self._tls = tls
        self._resolved_at = 0.0
        self._is_unresolved = False
        first = [] if target.startswith(_DNS) else [one.strip() for one in target.split(",")]
        self.endpoints = {address: self._connect(address) for address in first}
        self.gate = Gate(name, max(1, assumed.places * len(first)))

    def may_serve(self, version: str) -> bool:
        """Whether any replica may serve a version, as far as is known."""
        return any(one.may_serve(version) for one in self.endpoints.values())

    def pick(self, key: str, version: str = "") -> Endpoint:
        """The replica for the next call of a search, one that serves a version as far as is known.

        DependencyError where none may be called now; it says when one may.
        """
        now = time.monotonic()
        waits = {one: one.breaker.wait_seconds(now) for one in self.endpoints.values()}
        callable_now = [one for one, wait in waits.items() if wait == 0]
        if not callable_now:
            detail = "circuit open after failed calls" if waits else f"{self._target}: no address"
            raise DependencyError(
                self.name,
                detail,
                retry_after_seconds=min(waits.values(), default=_RESOLVE_SECONDS),
            )
        # Health checks may be wrong for a moment: where nobody is ready, somebody is tried.
        callable_now = [one for one in callable_now if one.may_serve(version)] or callable_now
        ready = [one for one in callable_now if one.ready]
        chosen = routing.choose(key, ready or callable_now)
        chosen.breaker.admit(now)
        return chosen

    def circuits(self) -> Mapping[str, str]:
        """The state of each replica's circuit breaker."""
        now = time.monotonic()
        return {one.address: one.breaker.state(now).value for one in self.endpoints.values()}

    async def check(self) -> None:
        """Ask each replica for its health; DependencyError where none is ready."""
        await self._resolve()
        endpoints = list(self.endpoints.values())
        await asyncio.gather(*(self._check(one) for one in endpoints))
        if ready := [one for one in endpoints if one.ready]:
            self.gate.resize(sum(one.limits.places for one in ready))
            return
        details = dict.fromkeys(one.detail for one in endpoints)
        raise DependencyError(self.name, "; ".join(details) or f"{self._target}: no address")

    async def close(self) -> None:
        """Close all channels."""
        await asyncio.gather(*(one.channel.close(None) for one in self.endpoints.values()))

    def _connect(self, address: str, authority: str = "") -> Endpoint:
        return Endpoint(address, rpc.channel(address, self._tls, authority), self._assumed)

    async def _check(self, endpoint: Endpoint) -> None:
        try:
            # Before the caller's own timeout, which would hide the replicas that are well.
            async with asyncio.timeout(0.9 * self._check_seconds):
                endpoint.detail = await self._fault(endpoint)
        except TimeoutError:
            endpoint.detail = f"no answer within {0.9 * self._check_seconds:g} s"
        except grpc.aio.AioRpcError as error:
            endpoint.detail = error.details() or error.code().name
        endpoint.ready = not endpoint.detail
        if endpoint.ready:
            endpoint.breaker.succeeded()
        else:
            # What comes back may be another version with other limits.
            endpoint.learned = False

    async def _fault(self, endpoint: Endpoint) -> str:
        """What keeps a replica from being ready; empty where nothing does."""
        stub = endpoint.stub(health_pb2_grpc.HealthStub)
        reply = await stub.Check(health_pb2.HealthCheckRequest())
        if reply.status != health_pb2.HealthCheckResponse.SERVING:
            return "not ready yet"
        if not endpoint.learned:
            endpoint.limits = await self._limits(endpoint)
            endpoint.learned = True
        return ""

    async def _limits(self, endpoint: Endpoint) -> Limits:
        try:
            return await self._learn(endpoint.channel, self._check_seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return self._assumed
            raise

    async def _resolve(self) -> None:
        """Look the target's addresses up again, if it is a DNS name and time to."""
        if not self._target.startswith(_DNS) or (
            self.endpoints and time.monotonic() - self._resolved_at < _RESOLVE_SECONDS
        ):
            return
        host, _, port = self._target.removeprefix(_DNS).rpartition(":")
        try:
            addresses = await _addresses(host.strip("[]"), int(port))
        except OSError as error:
            # The addresses that were found before may well be good still. Once an outage: a name
            # of a service that is not ready, as while a model loads, is asked for every second.
            if not self._is_unresolved:
                log.warning("name not resolved", dependency=self.name, detail=str(error))
            self._is_unresolved = True
            return
        if self._is_unresolved:
            log.info("name resolved", dependency=self.name)
        self._is_unresolved = False
        self._resolved_at = time.monotonic()
        for address in addresses - self.endpoints.keys():
            self.endpoints[address] = self._connect(address, f"{host}:{port}")
        for address in self.endpoints.keys() - addresses:
            # Calls in flight end as they would have; the last of them lets go of the channel.
            del self.endpoints[address]


async def _addresses(host: str, port: int) -> set[str]:
    """The addresses of a name as gRPC targets; OSError where it cannot be looked up."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ips = {str(address[0]) for *_, address in found}
    return {f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip in ips}
