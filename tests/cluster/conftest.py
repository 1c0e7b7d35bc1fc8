"""A cluster with a real control plane, whose pods are processes of this machine.

Run by `make test-cluster`, which gives it namespaces of its own: nothing outlives the tests.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.models.store import StoredModel
from tests.cluster.api import Api, Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet.images import give_to_user, make_tools
from tests.cluster.kubelet.network import Network
from tests.cluster.kubelet.node import Node
from tests.cluster.release import NAMESPACE, Release

VALUES = Path(__file__).with_name("values.yaml")
PROBLEMS = "problems.jsonl"
HARVESTED = 6


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and the platform's release in it."""

    api: Api
    node: Node
    release: Release
    volumes: Path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(
    tmp_path_factory: pytest.TempPathFactory, smollm2: StoredModel
) -> AsyncIterator[Cluster]:
    """The control plane, one node, volumes; the release is not installed."""
    folder = tmp_path_factory.mktemp("cluster")
    redis_cli = shutil.which("redis-cli")
    assert redis_cli, "apt-get install redis-tools"
    make_tools(folder / "tools", redis_cli)
    network, plane = Network(), ControlPlane(folder / "control-plane")
    await network.start()
    api = await plane.start()
    node = Node(api, network, folder / "pods", folder / "tools")
    try:
        await node.start()
        await _make_volumes(api, folder / "volumes", smollm2)
        await api.create("/api/v1/namespaces", _named("Namespace", NAMESPACE))
        yield Cluster(api, node, Release(api, plane.kubeconfig, VALUES), folder / "volumes")
    finally:
        await node.stop()
        await plane.stop()
        await api.close()


async def _make_volumes(api: Api, folder: Path, model: StoredModel) -> None:
    """What an administrator without a provisioner makes by hand: volumes for models and Redis."""
    await asyncio.to_thread(_fill, folder, model)
    for name, claim, size, mode in (
        ("models", "rstar-models", "5Gi", "ReadWriteOnce"),
        ("redis", "data-rstar-redis-0", "1Gi", "ReadWriteOnce"),
        ("data", "rstar-data", "2Gi", "ReadWriteMany"),
    ):
        path = folder / name
        volume = _named("PersistentVolume", name)
        volume["spec"] = {
            "capacity": {"storage": size},
            "accessModes": [mode],
            "persistentVolumeReclaimPolicy": "Retain",
            # Otherwise whoever claims first gets what the controller knows by then, and Redis
            # sits on the models.
            "claimRef": {"namespace": NAMESPACE, "name": claim},
            "hostPath": {"path": str(path)},
        }
        await api.create("/api/v1/persistentvolumes", volume)


def _fill(folder: Path, model: StoredModel) -> None:
    shutil.copytree(model.path, folder / "models" / "policy" / model.path.name)
    for name in ("redis", "data"):
        (folder / name).mkdir()
    (folder / "data" / PROBLEMS).write_text(
        "".join(
            json.dumps({"id": str(n), "question": f"What is {n} + 1?", "answer": str(n + 1)}) + "\n"
            for n in range(HARVESTED)
        )
    )
    give_to_user(folder)


def _named(kind: str, name: str) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
