import asyncio

import pytest

from services.sandbox.sessions import SessionTable, TooManySessions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def table(clock):
    return SessionTable(2, 10.0, clock)


def test_opening_twice_gives_the_same_session(table):
    assert table.open("a") is table.open("a")
    assert len(table) == 1


def test_the_table_is_bounded(table):
    table.open("a")
    table.open("b")
    with pytest.raises(TooManySessions):
        table.open("c")
    table.remove("a")
    table.open("c")


def test_an_unknown_session_is_none(table):
    assert table.get("a") is None
    assert table.remove("a") is None


def test_idle_sessions_fall_out_used_ones_stay(table, clock):
    table.open("a")
    table.open("b")
    clock.now = 8.0
    table.get("b")
    clock.now = 11.0
    assert [session.name for session in table.remove_idle()] == ["a"]
    assert table.get("b") is not None


async def test_a_session_in_which_something_runs_is_not_idle(table, clock):
    session = table.open("a")
    task = asyncio.create_task(asyncio.sleep(0))
    session.runs.add(task)
    clock.now = 100.0
    assert table.remove_idle() == []
    session.runs.discard(task)
    assert table.remove_idle() == [session]
    assert session.closed
    await task
