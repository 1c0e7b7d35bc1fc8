"""A real policy with a store of its own: started, killed, started again."""

import asyncio
import contextlib
import json
import re
from pathlib import Path

from rstar.bench.policy_process import PolicyProcess, Reply
from services.common.models.store import ModelStore
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from tests.support.model_service import Server, connect, gone, started

WAIT_SECONDS = 120


class PolicyRig:
    """A store, and a policy that follows its alias `production`; it can be started again.

    Attributes:
        folder: for logs and state.
        store: that the policy serves from.
        truth: what a fresh engine of each version replies, as far as a test has asked.
    """

    def __init__(self, folder: Path, store: str | Path | None = None) -> None:
        self.folder = folder
        self.store = ModelStore(store or folder / "store", cache=folder / "publisher")
        self.truth: dict[str, dict[str, Reply]] = {}
        self._stack = contextlib.AsyncExitStack()
        self.server: Server
        self.policy: PolicyProcess
        self.stub: pb_grpc.PolicyServiceStub
        self.admin: pb_grpc.AdminServiceStub

    async def start(self, **settings: object) -> None:
        """Start the service and wait until it serves."""
        log = self.folder / f"log-{len(list(self.folder.glob('log-*')))}"
        given = {
            "store": self.store.location,
            "store_cache": self.folder / "cache",
            "model": "production",
            "state": self.folder / "state",
            "poll_seconds": 0.2,
            "admin_token": "bench",
            "kv_cache_gib": 0.5,
            # As transformers compute that replies are held against.
            "dtype": "float32",
            **settings,
        }
        self.server = await self._stack.enter_async_context(started("policy", log, **given))
        channel = await connect(self.server)
        self._stack.push_async_callback(channel.close)
        self.policy = PolicyProcess(self.server.process.pid, channel)
        self.stub = pb_grpc.PolicyServiceStub(channel)
        self.admin = pb_grpc.AdminServiceStub(channel)

    async def close(self) -> None:
        """Stop whatever runs."""
        await self._stack.aclose()

    def point(self, alias: str, version: str) -> None:
        """Move an alias."""
        before = self.store.aliases.target("policy", alias)
        self.store.aliases.move("policy", alias, version, by="test", expect=before)

    async def serves(self, version: str) -> None:
        """Return once a version is served."""
        async with asyncio.timeout(WAIT_SECONDS):
            while (await self.stub.Info(pb.InfoRequest())).model_version != version:
                self.server.check()
                await asyncio.sleep(0.05)

    def begun(self) -> set[str]:
        """Versions whose loading began and has not ended, as the service remembers."""
        files = (self.folder / "state").glob("*.json")
        return {version for path in files for version in json.loads(path.read_text())["begun"]}

    async def kill(self) -> None:
        """End the service with all its processes, without a chance to clean up."""
        children = self.server.children()
        self.server.process.kill()
        await self.server.exit_code()
        await gone(children)

    def first_served(self) -> str:
        """The version that the service came up with."""
        found = re.search(r"serving .*model=(\S+)", self.server.log.read_text("utf-8"))
        assert found
        return found[1]
