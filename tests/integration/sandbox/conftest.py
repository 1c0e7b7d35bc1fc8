from collections.abc import AsyncIterator

import pytest_asyncio

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
