"""Volumes of a pod as folders of this machine."""

import base64
import contextlib
from pathlib import Path
from typing import Any

from tests.cluster.api import Api, Object


class NotYet(Exception):  # noqa: N818 - a state
    """Something that a pod needs is not there yet; says what."""


class Volumes:
    """Makes the folders of a pod's volumes, and reads what its variables refer to."""

    def __init__(self, api: Api, namespace: str, folder: Path) -> None:
        """Below a folder; all of them writable for everybody."""
        self._api, self._namespace, self._folder = api, namespace, folder
        self._secrets: list[tuple[Path, str]] = []

    async def make(self, volume: Object) -> Path:
        """The folder of a volume. NotYet where its source is missing."""
        target = self._folder / volume["name"]
        match volume:
            case {"emptyDir": _}:
                self._own(target)
                return target
            case {"secret": {"secretName": name}}:
                self._write(target, await self.values("secrets", name))
                self._secrets.append((target, name))
                return target
            case {"configMap": {"name": name}}:
                return self._write(target, await self.values("configmaps", name))
            case {"persistentVolumeClaim": {"claimName": name}}:
                return await self._claimed(name)
        raise NotYet(f"volume {volume['name']}: of a kind that this kubelet does not know")

    async def refresh(self) -> None:
        """Let the files of Secrets follow them; those of one that is gone stay as they are."""
        for target, name in self._secrets:
            with contextlib.suppress(NotYet):
                self._write(target, await self.values("secrets", name))

    async def _claimed(self, name: str) -> Path:
        claim = await self._object("persistentvolumeclaims", name)
        if claim.get("status", {}).get("phase") != "Bound":
            raise NotYet(f"claim {name} is not bound")
        volume = await self._api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
        if volume is None:
            raise NotYet(f"claim {name}: its volume is gone")
        return Path(str(volume["spec"]["hostPath"]["path"]))

    async def environment(self, container: Object, pod: Object) -> dict[str, str]:
        """Variables of a container, references resolved."""
        found: dict[str, str] = {}
        for source in container.get("envFrom") or []:
            for field, kind in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
                if field in source:
                    values = await self.values(kind, source[field]["name"])
                    found |= {key: value.decode() for key, value in values.items()}
        for variable in container.get("env") or []:
            found[variable["name"]] = await self._value(variable, pod)
        return found

    async def _value(self, variable: Object, pod: Object) -> str:
        match variable.get("valueFrom"):
            case None:
                return str(variable.get("value", ""))
            case {"secretKeyRef": {"name": name, "key": key}}:
                return (await self.values("secrets", name))[key].decode()
            case {"configMapKeyRef": {"name": name, "key": key}}:
                return (await self.values("configmaps", name))[key].decode()
            case {"fieldRef": {"fieldPath": path}}:
                return _field(pod, path)
        raise NotYet(f"variable {variable['name']}: of a kind that this kubelet does not know")

    async def values(self, kind: str, name: str) -> dict[str, bytes]:
        """Keys and values of a Secret or ConfigMap. NotYet where there is none."""
        found = await self._object(kind, name)
        data = found.get("data") or {}
        if kind == "secrets":
            return {key: base64.b64decode(value) for key, value in data.items()}
        return {key: value.encode() for key, value in data.items()}

    async def _object(self, kind: str, name: str) -> Object:
        found = await self._api.get(f"/api/v1/namespaces/{self._namespace}/{kind}/{name}")
        if found is None:
            raise NotYet(f"{kind} {name}: not found")
        return found

    def _write(self, target: Path, content: dict[str, bytes]) -> Path:
        self._own(target)
        for name, value in content.items():
            new = target / f"..{name}"
            new.write_bytes(value)
            new.chmod(0o644)
            new.replace(target / name)  # whoever reads sees one of the two, never a part
        return target

    def _own(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)


def _field(pod: Object, path: str) -> str:
    """A field of a pod by its path, as the downward API names it."""
    if path == "status.podIP":
        return str(pod["status"]["podIP"])
    if "[" in path:
        head, _, tail = path.partition("[")
        *parts, key = (*head.split("."), tail.strip("[]'\""))
    else:
        *parts, key = path.split(".")
    found: Any = pod
    for part in parts:
        found = found.get(part, {})
    return str(found.get(key, ""))
