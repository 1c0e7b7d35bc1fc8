"""A real control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler."""

import asyncio
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import yaml

from tests.cluster.api import Api
from tests.cluster.kubelet.images import REPO

URL = "https://127.0.0.1:6443"
_START_SECONDS = 90
_STOP_SECONDS = 20


class ControlPlane:
    """Its processes, in the order in which they need each other."""

    def __init__(self, folder: Path) -> None:
        """With its files below a folder."""
        script = REPO / "scripts" / "kube_control_plane.py"
        built = subprocess.run(
            [sys.executable, str(script)], check=True, stdout=subprocess.PIPE, text=True
        )
        self._programs = Path(built.stdout.strip())
        self._folder = folder
        self._token = secrets.token_hex(16)
        self._processes: list[asyncio.subprocess.Process] = []
        self.kubeconfig = folder / "kubeconfig"

    async def start(self) -> Api:
        """Start everything; a client with all rights."""
        self._folder.mkdir(parents=True)
        self._prepare()
        etcd = shutil.which("etcd")
        if etcd is None:
            raise FileNotFoundError("etcd is not installed: apt-get install etcd-server")
        await self._launch(etcd, "--data-dir", str(self._folder / "etcd"))
        await self._launch(str(self._programs / "kube-apiserver"), *self._apiserver())
        api = await self._connect()
        kubeconfig = f"--kubeconfig={self.kubeconfig}"
        await self._launch(
            *(str(self._programs / "kube-controller-manager"), kubeconfig, "--leader-elect=false"),
            f"--service-account-private-key-file={self._folder / 'accounts.key'}",
        )
        await self._launch(
            str(self._programs / "kube-scheduler"), kubeconfig, "--leader-elect=false"
        )
        return api

    async def stop(self) -> None:
        """End everything, the last started first."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()

    def _prepare(self) -> None:
        key = str(self._folder / "accounts.key")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self._folder / "tokens").write_text(f'{self._token},admin,admin,"system:masters"\n')
        authority = str(self._folder / "certificates" / "apiserver.crt")
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": URL, "certificate-authority": authority}}
            ],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))

    def _apiserver(self) -> list[str]:
        key = self._folder / "accounts.key"
        return [
            *("--etcd-servers=http://127.0.0.1:2379", "--service-cluster-ip-range=10.89.0.0/24"),
            *("--bind-address=127.0.0.1", "--secure-port=6443", "--authorization-mode=RBAC"),
            *("--advertise-address=127.0.0.1", "--allow-privileged=false"),
            f"--cert-dir={self._folder / 'certificates'}",
            f"--token-auth-file={self._folder / 'tokens'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        ]

    async def _launch(self, *command: str) -> None:
        log = (self._folder / f"{Path(command[0]).name}.log").open("ab")
        self._processes.append(
            await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        )
        log.close()

    async def _connect(self) -> Api:
        """A client, once the API is ready."""
        authority = self._folder / "certificates" / "apiserver.crt"
        async with asyncio.timeout(_START_SECONDS):
            while True:
                self._look_alive()
                if authority.exists() and authority.stat().st_size:
                    api = Api(URL, self._token, authority)
                    try:
                        if await api.get("/api/v1/namespaces/default"):
                            return api
                    except (httpx.HTTPError, ValueError):
                        await api.close()
                await asyncio.sleep(0.2)

    def _look_alive(self) -> None:
        for process in self._processes:
            if process.returncode is not None:
                raise RuntimeError(f"the control plane ended at once: see {self._folder}")
