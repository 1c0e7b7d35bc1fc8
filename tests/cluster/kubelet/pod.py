"""A pod on this node: from its binding to its deletion."""

import asyncio
import logging
import shutil
import time
from pathlib import Path

from tests.cluster.api import Api, Object, key_of
from tests.cluster.kubelet import images
from tests.cluster.kubelet.container import Container, Place, now
from tests.cluster.kubelet.network import GATEWAY, Attachment, Network
from tests.cluster.kubelet.services import DOMAIN
from tests.cluster.kubelet.volumes import NotYet, Volumes

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_WAIT_SECONDS = 1.0
_REFRESH_SECONDS = 5.0  # a kubelet takes a minute or more


class Pod:
    """Runs one pod; `run` ends when the pod is gone from the API."""

    def __init__(
        self, api: Api, network: Network, content: Object, folder: Path, tools: Path
    ) -> None:
        """Of a pod that is bound to this node; its files stand below a folder."""
        self.content = content
        self.key = key_of(content)
        self.uid: str = content["metadata"]["uid"]
        self.containers: list[Container] = []
        self._first: list[Container] = []
        self._failed = False
        self.deleted = asyncio.Event()
        self.killed = False
        self._api, self._network = api, network
        self._folder, self._tools = folder / self.uid, tools
        self._attachment: Attachment | None = None
        self._volumes: Volumes | None = None
        self._refreshed = 0.0
        self._told: Object = {}
        self._started = now()

    def update(self, content: Object | None) -> None:
        """The pod as the API has it now; None where it is gone."""
        if content is None:
            self.killed = True
            self.deleted.set()
            return
        self.content = content
        if content["metadata"].get("deletionTimestamp"):
            self.deleted.set()

    async def run(self) -> None:
        """Start it, keep it, end it."""
        try:
            await self._create()
            self._failed = not await self._initialize()
            while not self.deleted.is_set() and not self._over():
                for one in self.containers:
                    await one.look(self._policy())
                await self._tell()
                await self._refresh()
                await self._pause(_LOOK_SECONDS)
            await self._tell()
            await self.deleted.wait()
            await self._end()
        finally:
            await self._remove()

    async def _refresh(self) -> None:
        if self._volumes and time.monotonic() >= self._refreshed + _REFRESH_SECONDS:
            await self._volumes.refresh()
            self._refreshed = time.monotonic()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.deleted.wait(), seconds)
        except TimeoutError:
            return

    def _policy(self) -> str:
        return str(self.content["spec"].get("restartPolicy", "Always"))

    def _over(self) -> bool:
        """Whether its containers have ended for good."""
        if self._failed:
            return True
        codes = [one.exit_code for one in self.containers]
        if self._policy() == "Always" or None in codes or not codes:
            return False
        return self._policy() == "Never" or not any(codes)

    async def _create(self) -> None:
        """Network, volumes, containers; waits for what is not there yet."""
        self._folder.mkdir(parents=True)
        self._attachment = await self._network.attach()
        self._write_etc(self._attachment)
        while not self.deleted.is_set():
            try:
                spec = self.content["spec"]
                place = await self._place(self._attachment)
                self._first = await self._make(spec.get("initContainers") or [], *place)
                self.containers = await self._make(spec["containers"], *place)
                self._volumes = place[1]
                return
            except NotYet as reason:
                await self._tell(str(reason))
                await self._pause(_WAIT_SECONDS)

    async def _initialize(self) -> bool:
        """Run the init containers in their order, then start the others; whether all went well."""
        for one in self._first:
            await one.start()
            while one.exit_code is None and not self.deleted.is_set():
                await one.look("Never")
                await self._pause(_LOOK_SECONDS)
            if one.exit_code:
                return False
        if not self.deleted.is_set():
            for one in self.containers:
                await one.start()
        return True

    async def _place(self, attachment: Attachment) -> tuple[Place, Volumes, Object]:
        """What containers get of the pod; NotYet where something is missing."""
        spec, metadata = self.content["spec"], self.content["metadata"]
        security = spec.get("securityContext") or {}
        user = int(security.get("runAsUser", 0))
        group = int(security.get("runAsGroup", user))
        volumes = Volumes(self._api, metadata["namespace"], self._folder / "volumes")
        folders = {one["name"]: await volumes.make(one) for one in spec.get("volumes") or []}
        place = Place(metadata["name"], user, group, attachment, self._folder, folders)
        status = {"podIP": attachment.address}
        pod = self.content | {"status": self.content.get("status", {}) | status}
        return place, volumes, pod

    async def _make(
        self, specs: list[Object], place: Place, volumes: Volumes, pod: Object
    ) -> list[Container]:
        return [
            Container(
                one,
                images.find(one["image"], self._tools),
                await volumes.environment(one, pod),
                place,
            )
            for one in specs
        ]

    def _write_etc(self, attachment: Attachment) -> None:
        namespace, name = self.key.split("/")
        (self._folder / "resolv.conf").write_text(
            f"nameserver {GATEWAY}\n"
            f"search {namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}\n"
            "options ndots:5\n"
        )
        (self._folder / "hosts").write_text(f"127.0.0.1 localhost\n{attachment.address} {name}\n")

    async def _end(self) -> None:
        """End the containers within the grace of the deletion, and let the API forget the pod."""
        grace = 0 if self.killed else self.content["metadata"].get("deletionGracePeriodSeconds", 30)
        await asyncio.gather(*(one.stop(grace) for one in self.containers))
        if not self.killed:
            await self._tell()
            await self._api.delete(self._path(), grace=0, uid=self.uid)

    async def _remove(self) -> None:
        """Give back what it took; its logs stay."""
        await asyncio.gather(*(one.stop(0) for one in (*self._first, *self.containers)))
        if self._attachment:
            await self._network.detach(self._attachment)
        shutil.rmtree(self._folder / "volumes", ignore_errors=True)

    def _path(self) -> str:
        namespace, name = self.key.split("/")
        return f"/api/v1/namespaces/{namespace}/pods/{name}"

    async def _tell(self, waiting: str = "") -> None:
        """Report its status where it has changed."""
        status = self._status(waiting)
        if status != self._told and not self.killed:
            self._told = status
            await self._api.patch(f"{self._path()}/status", {"status": status})

    def _status(self, waiting: str) -> Object:
        ready = bool(self.containers) and all(one.ready for one in self.containers)
        ready = ready and not self.deleted.is_set()
        address = self._attachment.address if self._attachment else ""
        return {
            "phase": self._phase(),
            "message": waiting,
            "hostIP": GATEWAY,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": self._started,
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Initialized", "status": "True"},
                {"type": "ContainersReady", "status": str(ready)},
                {"type": "Ready", "status": str(ready)},
            ],
            "containerStatuses": [one.status() for one in self.containers],
        }

    def _phase(self) -> str:
        if self._failed:
            return "Failed"
        if not any(one.started for one in self.containers):
            return "Pending"
        if self._over():
            return "Failed" if any(one.exit_code for one in self.containers) else "Succeeded"
        return "Running"
