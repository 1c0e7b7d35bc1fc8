"""Which replica a search's calls go to."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from services.search.clients.routing import choose


@dataclass
class Place:
    """A replica."""

    address: str
    load: int = 0
    capacity: int = 1


def places(count: int, capacity: int = 4) -> list[Place]:
    """Replicas without load."""
    return [Place(f"10.0.0.{i}:50051", capacity=capacity) for i in range(count)]


def test_a_search_stays_where_it_is_whatever_the_order_of_the_replicas() -> None:
    replicas = places(5)
    for key in map(str, range(50)):
        assert choose(key, replicas) is choose(key, replicas[::-1])


def test_searches_spread_evenly() -> None:
    replicas = places(4)
    counts = Counter(choose(str(key), replicas).address for key in range(4000))
    assert len(counts) == 4
    assert all(850 < count < 1150 for count in counts.values())


def test_when_a_replica_goes_only_its_searches_move() -> None:
    replicas = places(4)
    before = {key: choose(key, replicas) for key in map(str, range(400))}
    left = replicas[1:]
    for key, chosen in before.items():
        after = choose(key, left)
        assert after is chosen or chosen is replicas[0]


def test_within_its_capacity_a_replica_keeps_its_searches_alone_or_not() -> None:
    replicas = places(3, capacity=10)
    home = choose("search", replicas)
    for load in range(10):
        home.load = load
        assert choose("search", replicas) is home


def test_beyond_its_capacity_and_share_it_passes_calls_on_to_the_next_choice() -> None:
    replicas = places(3, capacity=10)
    home = choose("search", replicas)
    home.load = 40
    others = [one for one in replicas if one is not home]
    second = choose("search", others)
    assert choose("search", replicas) is second
    for one in others:
        one.load = 40
    assert choose("search", replicas) is home


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8), st.text(max_size=20))
def test_somebody_is_always_chosen_and_never_one_far_above_the_mean(
    loads: list[int], key: str
) -> None:
    replicas = [Place(str(i), load, capacity=0) for i, load in enumerate(loads)]
    chosen = choose(key, replicas)
    if len(loads) > 1:
        assert chosen.load <= 1.25 * (sum(loads) + 1) / len(loads) + 1
