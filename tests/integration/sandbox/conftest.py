from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from tests.support.sandbox_server import Server, Session, serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[Server]:
    """One server for all tests that leave it as they found it."""
    async with serving(workers=2, max_wall_ms=5000, max_memory_mib=256, drain_seconds=2) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def session(server: Server) -> AsyncIterator[Session]:
    """A session of its own for each test."""
    async with server.session() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def tree(server: Server) -> None:
    """Skips a test of the fork tree where the kernel does not allow it."""
    if (await server.stub.Info(pb.InfoRequest())).mode != "fork-tree":
        pytest.skip("this kernel does not allow the fork tree")
