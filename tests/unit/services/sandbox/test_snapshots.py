from dataclasses import dataclass

import pytest

from services.sandbox.snapshots import Budget, Snapshot, SnapshotCache


@dataclass(eq=False)
class State:
    name: str
    ended: bool = False


def snapshot(name: str, size: int = 10, session: str = "s") -> Snapshot[State]:
    return Snapshot(name.encode(), session, State(name), size)


def names(states: list[State]) -> list[str]:
    return [state.name for state in states]


@pytest.fixture
def cache():
    return SnapshotCache[State](Budget(service_bytes=100, session_bytes=50, count=6))


def test_what_was_put_is_found(cache):
    assert cache.put(snapshot("a")) == []
    assert cache.get(b"a").name == "a"
    assert cache.get(b"b") is None
    assert (len(cache), cache.size) == (1, 10)


def test_the_least_recently_used_of_a_session_over_its_budget_goes(cache):
    for name in "abcde":
        cache.put(snapshot(name))
    cache.get(b"a")
    assert names(cache.put(snapshot("f"))) == ["b"]
    assert names(cache.put(snapshot("g", 25))) == ["c", "d", "e"]
    assert cache.size <= 50


def test_another_session_s_are_spared_by_a_session_s_budget(cache):
    cache.put(snapshot("other", 10, "t"))
    for name in "abcdef":
        cache.put(snapshot(name, 20))
    assert cache.get(b"other") is not None


def test_the_service_s_budget_takes_the_oldest_of_any_session(cache):
    for session in "tuv":
        cache.put(snapshot(session, 30, session))
    assert names(cache.put(snapshot("a", 30))) == ["t"]
    assert cache.size == 90


def test_the_count_is_bounded(cache):
    for number in range(8):
        cache.put(snapshot(str(number), 1, str(number)))
    assert len(cache) == 6


def test_one_that_is_over_the_budget_alone_is_not_kept(cache):
    assert names(cache.put(snapshot("a", 51))) == ["a"]
    assert (len(cache), cache.size) == (0, 0)


def test_putting_a_key_again_gives_back_the_old_state(cache):
    cache.put(snapshot("a"))
    assert names(cache.put(snapshot("a", 20))) == ["a"]
    assert cache.size == 20


def test_a_state_that_has_ended_is_not_found(cache):
    one = snapshot("a")
    cache.put(one)
    one.state.ended = True
    assert cache.get(b"a") is None
    assert (len(cache), cache.size) == (0, 0)


def test_a_session_is_removed_whole_and_alone(cache):
    cache.put(snapshot("a"))
    cache.put(snapshot("b"))
    cache.put(snapshot("c", 10, "t"))
    assert names(cache.remove_session("s")) == ["a", "b"]
    assert (len(cache), cache.size) == (1, 10)
    assert cache.remove(b"a") is None
