"""Whom the client trusts."""

import asyncio
import ssl
from pathlib import Path

import pytest

from rstar.client import AsyncClient, Retry, Unreachable
from tests.support.pki import Pki


async def reached(pki: Pki) -> bool:
    """Whether a client sends anything to a server of this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pki.server)
    asked = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            asked.set()
        writer.close()

    async with await asyncio.start_server(refuse, "localhost", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncClient(f"https://localhost:{port}", retry=Retry(attempts=1)) as client:
            with pytest.raises(Unreachable):
                await client.get("any")
    return asked.is_set()


async def test_the_named_authority_is_trusted_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = Pki(tmp_path)
    monkeypatch.delenv("RSTAR_TLS_CA", raising=False)
    assert not await reached(pki)
    monkeypatch.setenv("RSTAR_TLS_CA", str(pki.ca))
    assert await reached(pki)
