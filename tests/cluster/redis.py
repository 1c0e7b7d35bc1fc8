"""The release's Redis as its administrator handles it: from inside its container."""

import asyncio
import shlex

from tests.cluster.conftest import Cluster
from tests.cluster.kubelet.container import Container

CLI = "valkey-cli -e"
_SECRET = "redis"
_COMMAND_SECONDS = 60
_REFRESH_SECONDS = 120


class Redis:
    """Its container, and the Secret with its password. Make one with `of`."""

    def __init__(self, cluster: Cluster, container: Container, pod: str) -> None:
        """Of a pod's id."""
        self._cluster, self._container, self._pod = cluster, container, pod

    @classmethod
    async def of(cls, cluster: Cluster) -> "Redis":
        """That of the release."""
        (pod,) = await cluster.release.pods("redis")
        uid = pod["metadata"]["uid"]
        (container,) = cluster.node.pods[uid].containers
        return cls(cluster, container, uid)

    def lives(self) -> tuple[str, int]:
        """Its pod's id and how often the container was started again."""
        return self._pod, self._container.restarts

    async def password(self) -> str:
        """What its Secret says."""
        return await self._cluster.release.secret(_SECRET, "password")

    async def tell_services(self, password: str) -> None:
        """Put another password into the Secret."""
        url = f"redis://:{password}@rstar-redis:6379/0"
        await self._cluster.release.change_secret(_SECRET, {"password": password, "url": url})

    async def accept(self, password: str) -> None:
        """Let in whoever shows this password too."""
        await self._say("-x acl setuser default", f">{password}")

    async def forget(self, password: str) -> None:
        """Let in nobody by this password any more, and close the connections that were."""
        await self._say("-x acl setuser default", f"<{password}")
        for kind in ("normal", "pubsub"):
            await self._say(f"client kill type {kind}")

    async def _say(self, words: str, given: str = "") -> None:
        """Give a command, with the password that the container's file has."""
        shell = f"REDISCLI_AUTH=$(cat /secret/password) {CLI} {words}"
        command = ["sh", "-c", shell]
        assert await self._container.execute(command, _COMMAND_SECONDS, given.encode()), words

    async def takes(self, password: str) -> bool:
        """Whether it lets in whoever shows a password."""
        shell = f"REDISCLI_AUTH={shlex.quote(password)} {CLI} get nothing"
        return await self._container.execute(["sh", "-c", shell], _COMMAND_SECONDS)

    async def follows_secret(self) -> None:
        """Wait until the container's file has what the Secret says."""
        shell = f"test $(cat /secret/password) = {shlex.quote(await self.password())}"
        async with asyncio.timeout(_REFRESH_SECONDS):
            while not await self._container.execute(["sh", "-c", shell], _COMMAND_SECONDS):
                await asyncio.sleep(0.5)
