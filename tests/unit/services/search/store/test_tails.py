"""The ends of logs that are followed."""

import asyncio

import pytest

from services.search.store.entry import Entry, entry_id
from services.search.store.events import Failed
from services.search.store.tails import Tail, Tails


def entries(first: int, last: int) -> list[Entry]:
    return [
        Entry(entry_id(number), Failed("x", str(number), at=1.0))
        for number in range(first, last + 1)
    ]


def test_a_tail_that_knows_nothing_says_so() -> None:
    assert Tail().since(0) is None


def test_recent_entries_are_given_from_memory_older_ones_are_not() -> None:
    tail = Tail()
    tail.reach(10)
    assert tail.since(10) == []
    assert tail.since(9) is None, "it was written before anybody followed"
    tail.add(entries(11, 13))
    assert tail.since(10) == entries(11, 13)
    assert tail.since(12) == entries(13, 13)
    tail.add(entries(12, 14))
    assert tail.since(10) == entries(11, 14), "what is known is not taken twice"
    tail.add(entries(15, 200))
    assert tail.since(14) is None, "memory is bounded"
    assert tail.since(190) == entries(191, 200)


def test_a_gap_is_read_from_the_log() -> None:
    tail = Tail()
    tail.reach(1)
    tail.add(entries(2, 3))
    tail.add(entries(6, 7))
    assert tail.since(1) is None
    assert tail.since(5) == entries(6, 7)
    tail.reach(9)
    assert tail.since(7) is None


async def test_waiting_ends_at_each_change() -> None:
    tail = Tail()
    for change in (
        lambda: tail.reach(1),
        lambda: tail.add(entries(2, 2)),
        lambda: tail.fail(ValueError("x")),
    ):
        waiting = asyncio.create_task(tail.changed())
        await asyncio.sleep(0)
        assert not waiting.done()
        change()
        await asyncio.wait_for(waiting, 5)
    tail.add(entries(1, 2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tail.changed(), 0.01)


def test_a_tail_lives_as_long_as_it_is_followed() -> None:
    tails = Tails()
    with tails.followed("a") as first:
        with tails.followed("a") as second, tails.followed("b"):
            assert first is second
            assert sorted(tails.ids()) == ["a", "b"]
        assert tails.ids() == ["a"]
    assert tails.get("a") is None
