import asyncio
import signal
import subprocess
import sys

import pytest

from services.sandbox import hold

pytestmark = pytest.mark.asyncio


@pytest.fixture
def process():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


@pytest.mark.parametrize("take", [hold.take, hold.PidHold])
async def test_the_end_is_noticed_before_anybody_reaps(process, take):
    held = take(process.pid)
    ended = asyncio.Event()
    held.watch(ended.set)
    held.signal(signal.SIGKILL)
    async with asyncio.timeout(10):
        await ended.wait()
    held.release()
    assert process.wait() == -signal.SIGKILL


async def test_who_is_reaped_already_counts_as_ended(process):
    held = hold.PidHold(process.pid)
    process.kill()
    process.wait()
    ended = asyncio.Event()
    held.watch(ended.set)
    async with asyncio.timeout(10):
        await ended.wait()
    with pytest.raises(ProcessLookupError):
        held.signal(signal.SIGTERM)


async def test_after_the_release_nothing_is_told(process):
    held = hold.PidHold(process.pid)
    told = []
    held.watch(lambda: told.append("held"))
    held.release()
    ended = asyncio.Event()
    other = hold.PidHold(process.pid)
    process.kill()
    other.watch(ended.set)
    async with asyncio.timeout(10):
        await ended.wait()
    assert told == []
