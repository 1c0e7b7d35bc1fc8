"""The Redis of the stack, for real."""

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from rstar.stack.journal import Journal
from rstar.stack.redis_server import MAX_SOCKET_PATH, RedisBusy, RedisFolder
from rstar.stack.services import redis_unit
from rstar.stack.supervisor import Supervisor


@asynccontextmanager
async def running(folder: RedisFolder) -> AsyncIterator["redis.asyncio.Redis"]:
    async with Supervisor([redis_unit(folder)], Journal(["redis"], io.StringIO())):
        client = redis.asyncio.from_url(folder.url, decode_responses=True)
        yield client
        await client.aclose()


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    folder = RedisFolder(tmp_path / "redis")
    async with running(folder) as client:
        await client.set("search", "found")
    folder.close()
    again = RedisFolder(tmp_path / "redis")
    async with running(again) as client:
        assert await client.get("search") == "found"
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"
        assert (await client.config_get("port"))["port"] == "0"
    again.close()


async def test_its_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = RedisFolder(tmp_path / "redis")
    async with running(folder):
        assert folder.socket.stat().st_mode & 0o777 == 0o700
    folder.close()


async def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    folder = RedisFolder(tmp_path / ("deep" * 40))
    assert len(os.fsencode(folder.socket)) <= MAX_SOCKET_PATH
    async with running(folder) as client:
        assert await client.ping()
    folder.close()


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    first = RedisFolder(tmp_path)
    with pytest.raises(RedisBusy, match=f"process {os.getpid()}"):
        RedisFolder(tmp_path)
    first.close()
    RedisFolder(tmp_path).close()


async def test_a_folder_whose_server_still_runs_is_refused(tmp_path: Path) -> None:
    folder = RedisFolder(tmp_path)
    async with running(folder):
        folder.close()
        with pytest.raises(RedisBusy, match="still answers"):
            RedisFolder(tmp_path)
