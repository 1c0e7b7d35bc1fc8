"""The queue on a real Redis."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from trainer.harvest.queue import Done, Lease, Queue, QueueDown, VersionsChanged

LEASE = 0.2


@pytest_asyncio.fixture
async def queues(redis_url: str) -> AsyncIterator[tuple[Queue, Queue]]:
    """One harvest's queue, as two workers see it."""
    name = secrets.token_hex(8)
    async with (
        Queue(redis_url, name, "one", lease_seconds=LEASE) as one,
        Queue(redis_url, name, "two", lease_seconds=LEASE) as two,
    ):
        yield one, two


def items(leases: list[Lease]) -> list[int]:
    return [lease.item for lease in leases]


def solved(lease: Lease) -> tuple[Lease, Done]:
    return lease, Done(lease.item, "easy", solved=True)


async def orphans(queue: Queue, count: int) -> list[Lease]:
    """Wait for orphans, of which there must be some."""
    async with asyncio.timeout(20):
        while not (found := await queue.lease(count, orphans=True)):
            await asyncio.sleep(LEASE / 4)
    return found


async def test_each_item_is_leased_once(queues: tuple[Queue, Queue]) -> None:
    one, two = queues
    await one.feed(5)
    await two.feed(5)
    first, second = await one.lease(3, orphans=True), await two.lease(9, orphans=True)
    assert items(first) == [0, 1, 2]
    assert items(second) == [3, 4]
    assert {lease.deliveries for lease in first + second} == {1}


async def test_more_items_are_added_to_those_that_are_there(queues: tuple[Queue, Queue]) -> None:
    one, _ = queues
    await one.feed(2)
    await one.feed(4)
    assert items(await one.lease(9, orphans=False)) == [0, 1, 2, 3]
    assert (await one.tally()).total == 4


async def test_what_a_dead_worker_held_is_taken_by_another(queues: tuple[Queue, Queue]) -> None:
    one, two = queues
    await one.feed(3)
    await one.lease(3, orphans=False)
    found = await orphans(two, 9)
    assert items(found) == [0, 1, 2]
    assert {lease.deliveries for lease in found} == {2}


async def test_what_is_renewed_is_not_taken(redis_url: str) -> None:
    name, lease = secrets.token_hex(8), 1.5  # longer than a busy machine is likely to pause
    one = Queue(redis_url, name, "one", lease_seconds=lease)
    two = Queue(redis_url, name, "two", lease_seconds=lease)
    await one.feed(2)
    kept, left = await one.lease(2, orphans=False)
    seen: list[Lease] = []
    async with asyncio.timeout(20):
        while not seen:
            assert await one.renew([kept]) == set()
            seen = await two.lease(9, orphans=True)
            await asyncio.sleep(lease / 8)
    assert items(seen) == [left.item]
    assert await one.renew([kept, left]) == {left.item}
    await one.close()
    await two.close()


async def test_what_is_given_back_is_taken_at_once(queues: tuple[Queue, Queue]) -> None:
    one, two = queues
    await one.feed(2)
    first, second = await one.lease(2, orphans=False)
    await one.release([first], forget=True)
    await one.release([second], forget=False)
    found = {lease.item: lease for lease in await two.lease(9, orphans=True)}
    assert found[first.item].deliveries == 1, "as if it had not been delivered"
    assert found[second.item].deliveries == 2


async def test_only_the_holder_gives_back(queues: tuple[Queue, Queue]) -> None:
    one, two = queues
    await one.feed(1)
    (stale,) = await one.lease(1, orphans=False)
    (held,) = await orphans(two, 1)
    await one.release([stale], forget=True)
    assert await two.renew([held]) == set()


async def test_a_part_is_committed_whole_and_counted(queues: tuple[Queue, Queue]) -> None:
    one, _ = queues
    await one.feed(3)
    first, second, third = await one.lease(3, orphans=False)
    results = [solved(first), (second, Done(second.item, "hard", solved=False, failed=True))]
    assert await one.commit("part-a", "policy -", results) == set()
    tally = await one.tally()
    assert (tally.total, tally.done, tally.failed, tally.solved) == (3, 2, 1, 1)
    assert tally.levels == {"easy": (1, 1), "hard": (1, 0)}
    assert await one.done() == {first.item, second.item}
    assert await one.staged() == {"part-a"}
    assert await one.renew([first, second, third]) == {first.item, second.item}
    await one.published("part-a")
    assert await one.staged() == set()


async def test_the_same_commit_again_changes_nothing(queues: tuple[Queue, Queue]) -> None:
    one, _ = queues
    await one.feed(1)
    (lease,) = await one.lease(1, orphans=False)
    for _ in range(2):
        assert await one.commit("part-a", "policy -", [solved(lease)]) == set()
    assert (await one.tally()).done == 1


async def test_of_two_that_did_an_item_the_first_counts(queues: tuple[Queue, Queue]) -> None:
    one, two = queues
    await one.feed(2)
    slow, own = await one.lease(2, orphans=False)
    (quick,) = await orphans(two, 1)
    assert quick.item == slow.item
    assert await two.commit("part-b", "policy -", [solved(quick)]) == set()
    assert await one.commit("part-a", "policy -", [solved(slow), solved(own)]) == {slow.item}
    assert await one.done() == {slow.item}, "nothing of the part that was refused"
    assert await one.commit("part-c", "policy -", [solved(own)]) == set()
    assert await one.staged() == {"part-b", "part-c"}


async def test_other_models_are_refused(queues: tuple[Queue, Queue]) -> None:
    one, _ = queues
    await one.feed(2)
    first, second = await one.lease(2, orphans=False)
    await one.commit("part-a", "policy-1 ppm-1", [solved(first)])
    with pytest.raises(VersionsChanged, match=r"policy-1 ppm-1.*policy-2 ppm-1"):
        await one.commit("part-b", "policy-2 ppm-1", [solved(second)])
    assert await one.done() == {first.item}


async def test_what_parts_tell_is_marked_and_never_leased(queues: tuple[Queue, Queue]) -> None:
    one, _ = queues
    known = [Done(1, "easy", solved=True), Done(3, "easy", solved=False)]
    assert await one.mark("policy -", known) == 2
    assert await one.mark("policy -", known) == 0
    await one.feed(5)
    assert items(await one.lease(9, orphans=True)) == [0, 2, 4]
    tally = await one.tally()
    assert (tally.done, tally.solved, tally.versions) == (2, 1, "policy -")


async def test_items_whose_part_is_gone_become_work_again(queues: tuple[Queue, Queue]) -> None:
    one, _ = queues
    await one.feed(2)
    for lease in await one.lease(2, orphans=False):
        await one.commit(f"part-{lease.item}", "policy -", [solved(lease)])
    await one.again([1])
    assert await one.done() == {0}
    assert items(await one.lease(9, orphans=True)) == [1]


async def test_bits_beyond_the_first_byte_are_found(queues: tuple[Queue, Queue]) -> None:
    one, _ = queues
    marked = {0, 7, 8, 63, 1000}
    await one.mark("", [Done(item, "", solved=False) for item in marked])
    assert await one.done() == marked


async def test_a_worker_leaves_only_with_empty_hands(queues: tuple[Queue, Queue]) -> None:
    one, two = queues
    await one.feed(1)
    await one.lease(1, orphans=False)
    await one.leave()
    assert items(await orphans(two, 1)) == [0], "its lease was not thrown away with its name"


async def test_a_redis_that_is_away_is_named() -> None:
    async with Queue("redis://127.0.0.1:1/0", "x", "y", lease_seconds=1) as queue:
        with pytest.raises(QueueDown, match="redis"):
            await queue.tally()
