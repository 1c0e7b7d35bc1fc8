"""Places shared between searches: bounds, fairness, nothing lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.clients.fair_share import Claim, FairShare, ShareFull


def share(places: int = 16, chunk: int = 4, max_waiting: int = 1000) -> FairShare:
    """Places of a service."""
    return FairShare(places, chunk=chunk, max_waiting=max_waiting)


def test_alone_a_search_gets_all_that_it_wants_at_once() -> None:
    places = share()
    assert places.claim("a", 16).granted == 16
    waiting = places.claim("a", 10)
    assert waiting.granted == 0
    # Not in parts smaller than a chunk, or one call would become many.
    assert places.release("a", 3) == []
    assert places.release("a", 1) == [waiting]
    assert waiting.granted == 4


def test_a_large_search_cannot_starve_a_small_one() -> None:
    places = share()
    places.claim("large", 16)
    more = [places.claim("large", 64) for _ in range(50)]
    small = places.claim("small", 2)
    assert places.release("large", 4) == [small]
    assert small.granted == 2
    assert all(claim.granted == 0 for claim in more)


def test_searches_that_all_want_more_end_up_with_equal_shares() -> None:
    places = share(places=12, chunk=1)
    places.claim("a", 12)
    for _ in range(12):
        for key in "abc":
            places.claim(key, 1)
    # Each place that is given back goes on; whoever holds most gives back first.
    for _ in range(200):
        most = max("abc", key=places.held)
        places.release(most, 1)
        places.claim(most, 1)
    assert {key: places.held(key) for key in "abc"} == {"a": 4, "b": 4, "c": 4}


def test_a_turn_is_a_few_places_in_a_row() -> None:
    places = share(places=1, chunk=3)
    first = places.claim("z", 1)
    waiting = [places.claim(key, 1) for key in "abababab"]
    order = []
    served = first
    for _ in waiting:
        [served] = places.release(served.key, 1)
        order.append(served.key)
    assert "".join(order) == "aaabbbab"
    assert all(claim.granted for claim in waiting)


def test_a_turn_ends_where_its_search_has_nothing_to_ask_for() -> None:
    places = share(places=1, chunk=3)
    places.claim("a", 1)
    others = [places.claim("b", 1), places.claim("c", 1)]
    assert places.release("a", 1) == others[:1]
    late = places.claim("a", 1)
    assert places.release("b", 1) == others[1:]
    assert places.release("c", 1) == [late]


def test_a_withdrawn_claim_leaves_the_queue_or_gives_its_places_back() -> None:
    places = share(places=4)
    first = places.claim("a", 4)
    second, third = places.claim("b", 4), places.claim("c", 4)
    assert places.withdraw(second) == []
    assert places.waiting == 1
    assert places.withdraw(first) == [third]
    assert (places.in_use, places.held("a"), places.held("c")) == (4, 0, 4)


def test_the_queue_is_bounded() -> None:
    places = share(places=1, max_waiting=2)
    for _ in range(3):
        places.claim("a", 1)
    with pytest.raises(ShareFull, match="2 calls wait already"):
        places.claim("b", 1)


def test_more_places_are_used_at_once_fewer_when_what_is_held_is_back() -> None:
    places = share(places=4)
    places.claim("a", 4)
    waiting = places.claim("b", 4)
    assert places.resize(8) == [waiting]
    late = places.claim("c", 1)
    assert places.resize(2) == []
    assert places.release("a", 4) == []
    assert places.release("b", 2) == []
    assert places.release("b", 1) == [late]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.sampled_from("abcd"), st.integers(1, 12)),
        st.tuples(st.just("release"), st.integers(0, 50), st.integers(1, 12)),
        st.tuples(st.just("withdraw"), st.integers(0, 50), st.just(0)),
        st.tuples(st.just("resize"), st.integers(1, 12), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(OPERATIONS)
def test_nothing_is_lost_and_nobody_waits_while_there_is_room(
    operations: list[tuple[str, object, int]],
) -> None:
    places = share(places=8, chunk=3)
    held: list[Claim] = []
    waiting: list[Claim] = []
    for name, which, count in operations:
        if name == "claim":
            waiting.append(places.claim(str(which), count))
        elif name == "resize":
            places.resize(int(str(which)))
        elif name == "withdraw" and (known := held + waiting):
            claim = known[int(str(which)) % len(known)]
            places.withdraw(claim)
            (held if claim in held else waiting).remove(claim)
        elif name == "release" and held:
            claim = held[int(str(which)) % len(held)]
            given_back = min(count, claim.granted)
            claim.granted -= given_back
            places.release(claim.key, given_back)
            held = [one for one in held if one.granted]
        held += [one for one in waiting if one.granted]
        waiting = [one for one in waiting if not one.granted]
        assert places.in_use == sum(one.granted for one in held)
        assert places.waiting == len(waiting)
        for key in "abcd":
            assert places.held(key) == sum(one.granted for one in held if one.key == key)
        if waiting:
            poorest = min(waiting, key=lambda one: (places.held(one.key), one.number))
            needed = min(poorest.wanted, 3, places.places)
            assert places.places - places.in_use < needed
    for claim in held:
        places.release(claim.key, claim.granted)
