"""The node: says that it lives, and runs the pods that are bound to it."""

import asyncio
import logging
import os
from pathlib import Path

from tests.cluster.api import Api, Mirror, Object, key_of
from tests.cluster.kubelet.container import now
from tests.cluster.kubelet.network import GATEWAY, Network
from tests.cluster.kubelet.pod import Pod
from tests.cluster.kubelet.services import Services

NAME = "node-1"
_HEARTBEAT_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Node:
    """A kubelet whose containers are processes of this machine. Start it, stop it."""

    def __init__(self, api: Api, network: Network, folder: Path, tools: Path) -> None:
        """With files of pods below a folder, and a folder of programs for their images."""
        self.pods: dict[str, Pod] = {}
        self._api, self._folder, self._tools = api, folder, tools
        self._network = network
        self._services = Services(api, network)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._main: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join the cluster."""
        await self._api.create("/api/v1/nodes", _node())
        await self._heartbeat()
        self._main = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Kill all pods and leave."""
        if self._main:
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _run(self) -> None:
        bound = {"fieldSelector": f"spec.nodeName={NAME}"}
        async with asyncio.TaskGroup() as group:
            group.create_task(Mirror(self._api, "/api/v1/pods", self._changed, **bound).run())
            group.create_task(self._services.run())
            group.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            await self._heartbeat()

    async def _heartbeat(self) -> None:
        conditions = [
            {"type": kind, "status": status, "lastHeartbeatTime": now(), "reason": "Fine"}
            for kind, status in (
                ("Ready", "True"),
                ("MemoryPressure", "False"),
                ("DiskPressure", "False"),
                ("PIDPressure", "False"),
            )
        ]
        capacity = {"cpu": "64", "memory": "256Gi", "pods": "110", "ephemeral-storage": "500Gi"}
        status = {
            "conditions": conditions,
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": GATEWAY}],
            "nodeInfo": _node_info(),
        }
        await self._api.patch(f"/api/v1/nodes/{NAME}/status", {"status": status})

    def _changed(self, before: Object | None, after: Object | None) -> None:
        uid = (after or before or {})["metadata"]["uid"]
        if before and after and before["metadata"]["uid"] != uid:  # deleted and made anew
            self._changed(before, None)
        if uid in self.pods:
            self.pods[uid].update(after)
        elif after is not None:
            self.pods[uid] = Pod(self._api, self._network, after, self._folder, self._tools)
            self.pods[uid].update(after)
            task = asyncio.create_task(self.pods[uid].run(), name=key_of(after))
            self._running[uid] = task
            task.add_done_callback(lambda done: self._ended(uid, done))

    def _ended(self, uid: str, task: asyncio.Task[None]) -> None:
        self.pods.pop(uid, None)
        self._running.pop(uid, None)
        if not task.cancelled() and (error := task.exception()):
            _log.error("pod %s", task.get_name(), exc_info=error)


def _node() -> Object:
    labels = {
        "kubernetes.io/hostname": NAME,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": "zone-1",
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME, "labels": labels}}


def _node_info() -> Object:
    fields = (
        *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage"),
        *("containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion"),
        *("operatingSystem", "architecture"),
    )
    known = {"kernelVersion": os.uname().release, "kubeletVersion": "v1.20.2-processes"}
    return {field: known.get(field, "") for field in fields}
