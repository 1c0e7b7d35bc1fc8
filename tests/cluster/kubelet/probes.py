"""Probes of a container: HTTP, TCP, a command."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.cluster.api import Object

Execute = Callable[[list[str], float], Awaitable[bool]]


@dataclass(slots=True)
class Probe:
    """One probe and what it has found: asked each period, turned by its thresholds."""

    spec: Object
    address: str
    ports: dict[str, int]
    execute: Execute
    passing: bool
    _run: int = 0
    _due: float = 0.0
    _failures: int = 0

    async def look(self) -> None:
        """Ask, if it is time to."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self.spec.get("periodSeconds", 10)
        good = await self._ask()
        self._run = 0 if good == self.passing else self._run + 1
        limit = (
            self.spec.get("failureThreshold", 3)
            if self.passing
            else (self.spec.get("successThreshold", 1))
        )
        if self._run >= limit:
            self.passing, self._run = good, 0

    @property
    def exhausted(self) -> bool:
        """Whether a probe that has not passed yet has failed as often as it may."""
        return not self.passing and self._failures >= self.spec.get("failureThreshold", 3)

    async def _ask(self) -> bool:
        limit = float(self.spec.get("timeoutSeconds", 1))
        try:
            good = await asyncio.wait_for(self._once(limit), limit)
        except (OSError, TimeoutError, httpx.HTTPError):
            good = False
        self._failures = 0 if good else self._failures + 1
        return good

    async def _once(self, limit: float) -> bool:
        match self.spec:
            case {"httpGet": action}:
                return await self._http(action, limit)
            case {"tcpSocket": action}:
                _, writer = await asyncio.open_connection(self.address, self._port(action["port"]))
                writer.close()
                return True
            case {"exec": {"command": command}}:
                return await self.execute(command, limit)
        raise ValueError(f"a probe of an unknown kind: {self.spec}")

    async def _http(self, action: Object, limit: float) -> bool:
        scheme = action.get("scheme", "HTTP").lower()
        url = f"{scheme}://{self.address}:{self._port(action['port'])}{action.get('path', '/')}"
        # The kubelet does not look at certificates either.
        async with httpx.AsyncClient(verify=False, timeout=limit) as client:  # noqa: S501
            return 200 <= (await client.get(url)).status_code < 400

    def _port(self, port: Any) -> int:
        return self.ports[port] if isinstance(port, str) else int(port)
