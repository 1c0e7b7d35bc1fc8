"""A release of the chart, handled with the real helm."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.cluster.api import Api, Object
from tests.cluster.kubelet.images import REPO

NAMESPACE = "rstar"
NAME = "rstar"
CHART = REPO / "deploy" / "helm" / "rstar"
_HELM_SECONDS = 600


class CommandFailed(Exception):  # noqa: N818 - what happened
    """helm or kubectl ended with an error; says its words."""


class JobFailed(Exception):  # noqa: N818 - what happened
    """A Job has failed; its name."""


def tool(name: str) -> Path:
    """The path of helm or kubectl."""
    script = REPO / "scripts" / "kube_tools.py"
    found = subprocess.run(
        [sys.executable, str(script), name], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(found.stdout.strip())


class Release:
    """The platform as it stands in the cluster."""

    def __init__(self, api: Api, kubeconfig: Path, *values: Path) -> None:
        """With these files of values on every command."""
        self._api = api
        self._helm = str(tool("helm"))
        self._values = [word for file in values for word in ("--values", str(file))]
        self._env = os.environ | {"KUBECONFIG": str(kubeconfig)}

    async def install(self, *more: str) -> str:
        """Install, and wait until everything is ready."""
        return await self._run("install", NAME, str(CHART), *self._values, *more)

    async def upgrade(self, *more: str) -> str:
        """Upgrade with more values, and wait until everything is ready."""
        return await self._run("upgrade", NAME, str(CHART), *self._values, *more)

    async def rollback(self, revision: int) -> str:
        """Go back to a revision, and wait."""
        return await self._run("rollback", NAME, str(revision))

    async def redis_password_of(self, revision: int) -> str:
        """The password of Redis that a revision has written."""
        words = ("get", "manifest", NAME, "--revision", str(revision), "--namespace", NAMESPACE)
        manifest = await self._command(self._helm, *words)
        (found,) = [
            one["stringData"]["password"]
            for one in yaml.safe_load_all(manifest)
            if one and (one["kind"], one["metadata"]["name"]) == ("Secret", f"{NAME}-redis")
        ]
        return str(found)

    async def uninstall(self) -> str:
        """Take everything away, and wait."""
        return await self._run("uninstall", NAME)

    async def _run(self, *words: str) -> str:
        wait = ("--wait", "--timeout", f"{_HELM_SECONDS}s")
        return await self._command(self._helm, *words, "--namespace", NAMESPACE, *wait)

    async def _command(self, program: str, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), _HELM_SECONDS + 60)
        if process.returncode:
            command = " ".join((Path(program).name, *words))
            raise CommandFailed(f"{command}: {said.decode()}")
        return said.decode()

    async def pods(self, component: str) -> list[Object]:
        """Pods of a component that are not on their way out."""
        found = await self._api.items(
            f"/api/v1/namespaces/{NAMESPACE}/pods",
            labelSelector=f"app.kubernetes.io/component={component}",
        )
        return [one for one in found if not one["metadata"].get("deletionTimestamp")]

    async def finished(self, kind: str) -> None:
        """Wait until a Job of this kind has succeeded. JobFailed where it has not."""
        async with asyncio.timeout(_HELM_SECONDS):
            while True:
                jobs = await self._api.items(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")
                mine = [one for one in jobs if f"-{kind}-" in one["metadata"]["name"]]
                conditions = [
                    condition["type"]
                    for one in mine
                    for condition in one["status"].get("conditions") or []
                    if condition["status"] == "True"
                ]
                if "Failed" in conditions:
                    raise JobFailed(mine[0]["metadata"]["name"])
                if "Complete" in conditions:
                    return
                await asyncio.sleep(1)

    async def address(self, service: str) -> str:
        """The cluster address of a Service."""
        found = await self._api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}-{service}")
        if found is None:
            raise LookupError(service)
        address: str = found["spec"]["clusterIP"]
        return address

    async def admin_key(self) -> str:
        """The key that the chart has made."""
        return await self.secret("auth", "admin-key")

    async def secret(self, name: str, key: str) -> str:
        """What a Secret of the chart has under a key."""
        found = await self._api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}-{name}")
        if found is None:
            raise LookupError(f"the chart has made no Secret {name}")
        return base64.b64decode(found["data"][key]).decode()

    async def change_secret(self, name: str, content: dict[str, str]) -> None:
        """Put something else into a Secret of the chart, as an administrator does."""
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}-{name}"
        await self._api.patch(path, {"stringData": content})

    async def restart(self, *which: str) -> None:
        """`kubectl rollout restart` of Deployments, and wait until it is over."""
        for words in (("restart",), ("status", f"--timeout={_HELM_SECONDS}s")):
            command = (words[0], "deployment", *which, *words[1:], "--namespace", NAMESPACE)
            await self._command(str(tool("kubectl")), "rollout", *command)

    async def leftovers(self) -> list[str]:
        """What the release has left in its namespace, by kind and name."""
        kinds = {
            "/api/v1": ("pods", "services", "secrets", "configmaps", "persistentvolumeclaims"),
            "/apis/apps/v1": ("deployments", "replicasets", "statefulsets"),
            "/apis/batch/v1": ("jobs",),
            "/apis/networking.k8s.io/v1": ("networkpolicies", "ingresses"),
            "/apis/policy/v1beta1": ("poddisruptionbudgets",),
        }
        selector = {"labelSelector": f"app.kubernetes.io/instance={NAME}"}
        return [
            f"{kind}/{one['metadata']['name']}"
            for group, names in kinds.items()
            for kind in names
            for one in await self._api.items(f"{group}/namespaces/{NAMESPACE}/{kind}", **selector)
        ]


def values(**content: object) -> list[str]:
    """Arguments that set values: dots are written as two underscores."""
    return [
        word
        for key, value in content.items()
        for word in ("--set-json", f"{key.replace('__', '.')}={json.dumps(value)}")
    ]
