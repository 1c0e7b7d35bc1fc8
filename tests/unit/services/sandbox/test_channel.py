import asyncio

import pytest

from services.sandbox.channel import Channel, Closed

pytestmark = pytest.mark.asyncio


async def test_a_receiver_cancelled_when_the_packet_is_there_leaves_it():
    channel, theirs = Channel.pair()
    with theirs:
        receiving = asyncio.create_task(channel.receive())
        await asyncio.sleep(0)
        theirs.send(b"first")
        # Behind the loop's reader, which settles what the task waits for before the task runs on.
        channel._readable()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        theirs.send(b"second")
        assert (await channel.receive())[0] == b"first"
        assert (await channel.receive())[0] == b"second"
    channel.close()


async def test_a_receiver_cancelled_before_leaves_what_comes():
    channel, theirs = Channel.pair()
    with theirs:
        receiving = asyncio.create_task(channel.receive())
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        theirs.send(b"later")
        assert (await channel.receive())[0] == b"later"
    with pytest.raises(Closed):
        await channel.receive()
    channel.close()


async def test_what_is_no_longer_watched_is_heard_by_the_next_who_waits():
    channel, theirs = Channel.pair()
    told = []
    channel.watch(lambda: told.append("unwatched"))
    channel.unwatch()
    assert told == ["unwatched"]
    with theirs:
        theirs.send(b"packet")
        assert (await channel.receive())[0] == b"packet"
    channel.close()
