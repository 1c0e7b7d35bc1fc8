"""Who holds a search: expiry, fencing, handover, claims; on one server and on a cluster."""

import asyncio
import re

import pytest

from services.search.store import keys, scripts
from services.search.store.claims import ClaimConflict, Claims
from services.search.store.errors import LeaseLost
from services.search.store.lease import Taken
from tests.integration.search.store.conftest import SHORT_LEASE_SECONDS, Replica, started, told

pytestmark = pytest.mark.asyncio(loop_scope="session")

Pair = tuple[Replica, Replica]


async def taken(replica: Replica, search_id: str) -> Taken:
    """Take a search whose lease has run out."""
    found = await replica.leases.take(search_id)
    assert found is not None
    return found


async def test_a_search_is_taken_only_when_its_lease_has_run_out(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    lease = await first.store.create(search_id, started())
    await first.store.append(lease, [told(0)])
    assert await second.leases.take(search_id) is None
    await first.expire(search_id)
    new = await taken(second, search_id)
    assert (new.lease.token, new.lease.seq, new.adoptions) == (2, 2, 1)
    # The first wakes up: it can neither write nor renew, and finds out by either.
    assert await first.leases.renew() == {search_id: "lost"}
    with pytest.raises(LeaseLost):
        await first.store.append(lease, [told(1)])
    await second.store.append(new.lease, [told(1)])
    assert len(await second.store.entries(search_id)) == 3


async def test_leases_run_out_by_themselves(url: str) -> None:
    short = Replica(url, "short", SHORT_LEASE_SECONDS)
    search_id = keys.new_id()
    await short.store.create(search_id, started())
    async with asyncio.timeout(20):
        found: list[str] = []
        while search_id not in found:
            await asyncio.sleep(0.05)
            found += await short.leases.orphans(100)
        while await short.leases.take(search_id) is None:
            await asyncio.sleep(0.05)
        # One that was looked at but not taken comes up again.
        found.clear()
        while search_id not in found:
            await asyncio.sleep(0.05)
            found += await short.leases.orphans(100)
    await short.connection.close()


async def test_a_late_holder_whom_nobody_has_replaced_goes_on(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    lease = await first.store.create(search_id, started())
    await first.expire(search_id)
    await first.store.append(lease, [told(0)])
    assert await second.leases.take(search_id) is None, "it holds the lease again"
    await first.expire(search_id)
    assert await first.leases.renew() == {search_id: "held"}
    assert await second.leases.take(search_id) is None, "and again"


async def test_renewal_is_one_round_trip_for_all(replicas: Pair) -> None:
    first, second = replicas
    ids = [keys.new_id() for _ in range(3)]
    for one in ids:
        await first.store.create(one, started())
        await first.connection.command("PEXPIRE", keys.lease(one), 50_000)
        await first.connection.command("ZADD", keys.OPEN, "XX", 0, one)
    before = first.connection.round_trips
    assert await first.leases.renew() == dict.fromkeys(ids, "held")
    assert first.connection.round_trips == before + 1
    for one in ids:
        assert await first.connection.command("PTTL", keys.lease(one)) > 50_000
    assert await second.leases.orphans(10) == []


async def test_orphans_are_found_by_one_replica_at_a_time(replicas: Pair) -> None:
    first, second = replicas
    ids = [keys.new_id() for _ in range(5)]
    for one in ids:
        await first.store.create(one, started())
    assert await second.leases.orphans(10) == []
    await first.leases.release(list(first.store.held.values()))
    assert first.store.held == {}
    some = await first.leases.orphans(2)
    rest = await second.leases.orphans(10)
    assert len(some) == 2
    assert sorted(some + rest) == sorted(ids)


async def test_handovers_and_progress_do_not_count_as_failed_adoptions(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    await first.store.create(search_id, started())
    await first.leases.release(list(first.store.held.values()))
    new = await taken(second, search_id)
    assert new.adoptions == 0, "it was handed over"
    await first.expire(search_id)
    assert (await taken(first, search_id)).adoptions == 1
    await first.expire(search_id)
    again = await taken(second, search_id)
    assert again.adoptions == 2
    await second.store.append(again.lease, [told(0)])
    await first.expire(search_id)
    assert (await taken(first, search_id)).adoptions == 1


async def test_a_wish_to_end_reaches_the_holder(replicas: Pair) -> None:
    first, second = replicas
    search_id = keys.new_id()
    await first.store.create(search_id, started())
    heard: list[str] = []

    async def listen() -> None:
        heard.append(await anext(first.connection.messages(keys.NUDGES)))

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(10):
        while not heard:  # until it has subscribed
            assert await second.store.request_cancel(search_id)
            await asyncio.sleep(0.05)
    await listening
    assert heard[0] == f"cancel {search_id}"
    assert (await first.leases.renew())[search_id] == "cancel"
    # Whoever takes it later is told as well.
    await first.expire(search_id)
    assert (await taken(second, search_id)).cancelled


async def test_an_id_without_a_search_is_dropped(replicas: Pair) -> None:
    first, _ = replicas
    await first.connection.command("ZADD", keys.OPEN, 0, "nothing")
    assert await first.leases.orphans(1) == ["nothing"]
    assert await first.leases.take("nothing") is None
    assert await first.connection.command("ZSCORE", keys.OPEN, "nothing") is None


async def test_an_idempotency_key_stands_for_one_search(replicas: Pair) -> None:
    claims = [Claims(one.connection, keep_seconds=60) for one in replicas]
    name = keys.new_id()
    results = await asyncio.gather(
        *(claims[n % 2].claim(name, "key", "same", keys.new_id()) for n in range(10))
    )
    assert [one.is_new for one in results].count(True) == 1
    assert len({one.search_id for one in results}) == 1
    with pytest.raises(ClaimConflict):
        await claims[0].claim(name, "key", "other", keys.new_id())
    other = await claims[1].claim(name, "another key", "other", keys.new_id())
    assert other.is_new, "keys of other API keys are other keys"
    await claims[0].drop(name, "key", "not this one")
    assert not (await claims[0].claim(name, "key", "same", keys.new_id())).is_new
    await claims[0].drop(name, "key", results[0].search_id)
    assert (await claims[1].claim(name, "key", "same", keys.new_id())).is_new


async def test_all_keys_of_a_script_share_a_hash_tag() -> None:
    tags = re.compile(r"\{([^{}]+)\}")
    for make in (keys.state, keys.lease, keys.log):
        assert tags.findall(make("s1")) == ["s1"]
    for name in dir(scripts):
        one = getattr(scripts, name)
        if isinstance(one, scripts.Script):
            # Only what it was given: a key that a script makes up may lie on another node.
            for call in re.findall(r"redis\.call\('(\w+)', ([^,)]+)", one.source):
                assert call[0] == "TIME" or call[1].startswith("KEYS["), (name, call)
