"""A container: a process in namespaces of its own, its probes, its restarts."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.api import Object
from tests.cluster.kubelet import enter
from tests.cluster.kubelet.images import Image
from tests.cluster.kubelet.network import Attachment
from tests.cluster.kubelet.probes import Probe

_BACKOFF_SECONDS = 2.0
_MAX_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """What a container gets of its pod.

    Attributes:
        hostname: name of the pod.
        user: user id that it runs as.
        group: its group id.
        attachment: the pod's network.
        folder: for its log and its files in /etc.
        volumes: folders of the pod's volumes by their names.
    """

    hostname: str
    user: int
    group: int
    attachment: Attachment
    folder: Path
    volumes: dict[str, Path]


def now() -> str:
    """This moment as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Container:
    """One container of a pod; started again by its pod, with a growing delay."""

    def __init__(self, spec: Object, image: Image, env: dict[str, str], place: Place) -> None:
        """As specified, not started."""
        self.spec, self.name = spec, str(spec["name"])
        self.restarts = 0
        self.exit_code: int | None = None
        self._image, self._env, self._place = image, env, place
        self._process: asyncio.subprocess.Process | None = None
        self._started = ""
        self._finished = ""
        self._again_at = 0.0
        self._probes: dict[str, Probe] = {}

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def started(self) -> bool:
        """Whether it has ever been started."""
        return self._process is not None

    @property
    def ready(self) -> bool:
        """Whether it runs and its readiness probe passes."""
        return self.running and self._passes("startupProbe") and self._passes("readinessProbe")

    async def start(self) -> None:
        """Start the process."""
        log = (self._place.folder / f"{self.name}.log").open("ab")
        self._process = await asyncio.create_subprocess_exec(
            *("nsenter", f"--net={self._place.attachment.namespace}", "--"),
            *("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--"),
            *(sys.executable, "-m", enter.__name__),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        log.close()
        if self._process.stdin:
            self._process.stdin.write(json.dumps(self._specification()).encode())
            self._process.stdin.close()
        self.exit_code, self._started = None, now()
        self._probes = self._new_probes()

    def _specification(self) -> dict[str, Any]:
        security = self.spec.get("securityContext") or {}
        return {
            "hostname": self._place.hostname,
            "image": self._image.mounts,
            "mounts": [
                {
                    "path": one["mountPath"],
                    "source": str(self._place.volumes[one["name"]] / one.get("subPath", "")),
                    "readOnly": one.get("readOnly", False),
                }
                for one in self.spec.get("volumeMounts") or []
            ],
            "etc": str(self._place.folder),
            "readOnlyRoot": security.get("readOnlyRootFilesystem", False),
            "workingDir": self.spec.get("workingDir", "/tmp"),
            "user": self._place.user,
            "group": self._place.group,
            "command": self._command(),
            "env": self._variables(),
        }

    def _command(self) -> list[str]:
        entry = self.spec.get("command") or self._image.entrypoint
        return [self._expanded(word) for word in (*entry, *(self.spec.get("args") or ()))]

    def _expanded(self, word: str) -> str:
        for name, value in self._env.items():
            word = word.replace(f"$({name})", value)
        return word

    def _variables(self) -> dict[str, str]:
        return self._image.env | {"HOSTNAME": self._place.hostname} | self._env

    def _new_probes(self) -> dict[str, Probe]:
        ports = {one.get("name", ""): one["containerPort"] for one in self.spec.get("ports") or []}
        return {
            kind: Probe(
                self.spec[kind],
                self._place.attachment.address,
                ports,
                self.execute,
                passing=kind == "livenessProbe",
            )
            for kind in ("startupProbe", "readinessProbe", "livenessProbe")
            if self.spec.get(kind)
        }

    def _passes(self, kind: str) -> bool:
        return kind not in self._probes or self._probes[kind].passing

    async def look(self, policy: str) -> None:
        """Ask its probes; end it where they say so; start it again where the policy does."""
        if not self.running:
            self._note_exit()
            if self._starts_again(policy) and time.monotonic() >= self._again_at:
                self.restarts += 1
                await self.start()
            return
        if not self._passes("startupProbe"):
            startup = self._probes["startupProbe"]
            await startup.look()
            if startup.exhausted:
                self.signal(signal.SIGKILL)
            return
        for kind in ("readinessProbe", "livenessProbe"):
            if kind in self._probes:
                await self._probes[kind].look()
        if not self._passes("livenessProbe"):
            self.signal(signal.SIGTERM)

    def _starts_again(self, policy: str) -> bool:
        return policy == "Always" or (policy == "OnFailure" and self.exit_code != 0)

    def _note_exit(self) -> None:
        if self._process is None or self.exit_code is not None:
            return
        code = self._process.returncode or 0
        self.exit_code = 128 - code if code < 0 else code
        self._finished = now()
        delay = min(_BACKOFF_SECONDS * 2**self.restarts, _MAX_BACKOFF_SECONDS)
        self._again_at = time.monotonic() + delay

    def first_process(self) -> int | None:
        """Process id of the container's process 1, as this machine counts."""
        if not self.running or self._process is None:
            return None
        number = self._process.pid
        with contextlib.suppress(FileNotFoundError):
            children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
            return int(children[0]) if children else None
        return None

    def signal(self, number: signal.Signals) -> None:
        """Send its process 1 a signal."""
        if (process := self.first_process()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    async def stop(self, grace: float) -> None:
        """Ask it to end, and end it when the grace (seconds) is over."""
        if not self.running or self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace)
        except TimeoutError:
            self._process.kill()  # unshare takes its child along
            await self._process.wait()
        self._note_exit()

    async def execute(self, command: list[str], limit: float, given: bytes = b"") -> bool:
        """Whether a command in the container ends well within a limit (seconds).

        Args:
            command: its words.
            limit: after which TimeoutError is raised and the command killed.
            given: its standard input.
        """
        if (process := self.first_process()) is None:
            return False
        inside = await asyncio.create_subprocess_exec(
            *("nsenter", f"--target={process}", "--mount", "--pid", "--net", "--root", "--"),
            *("setpriv", f"--reuid={self._place.user}", "--clear-groups", "--no-new-privs", "--"),
            *command,
            env=self._variables(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await asyncio.wait_for(inside.communicate(given), limit)
            return inside.returncode == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                inside.kill()

    def status(self) -> Object:
        """Its entry in the pod's status."""
        if self.running:
            state: Object = {"running": {"startedAt": self._started}}
        elif self.exit_code is None:
            state = {"waiting": {"reason": "ContainerCreating"}}
        else:
            state = {
                "terminated": {
                    "exitCode": self.exit_code,
                    "reason": "Error" if self.exit_code else "Completed",
                    "startedAt": self._started,
                    "finishedAt": self._finished,
                }
            }
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": self.spec["image"],
            "containerID": f"process://{self.name}",
            "ready": self.ready,
            "started": self.running and self._passes("startupProbe"),
            "restartCount": self.restarts,
            "state": state,
        }
