"""The order of stopping, and the waits between restarts."""

import pytest

from rstar.stack.readiness import Readiness
from rstar.stack.unit import Backoff, Unit, stop_order


async def never(_: float) -> Readiness:
    return Readiness(False)


def unit(name: str, after: tuple[str, ...] = (), needs: tuple[str, ...] = ()) -> Unit:
    return Unit(name, ("true",), {}, never, "", after=after, needs=needs)


def test_nothing_outlives_what_it_needs() -> None:
    units = [unit("redis"), unit("policy"), unit("search", after=("redis",), needs=("policy",))]
    groups = [[each.name for each in group] for group in stop_order(units)]
    assert groups == [["search"], ["redis", "policy"]]


def test_a_chain_is_stopped_from_its_end() -> None:
    units = [unit("a"), unit("b", after=("a",)), unit("c", after=("b",))]
    groups = [[each.name for each in group] for group in stop_order(units)]
    assert groups == [["c"], ["b"], ["a"]]


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle: a, b"):
        stop_order([unit("a", needs=("b",)), unit("b", needs=("a",))])


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(first=0.5, longest=3.0)
    assert [backoff.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next() == 0.5


def test_waits_stay_finite() -> None:
    backoff = Backoff()
    assert [backoff.next() for _ in range(5000)][-1] == backoff.longest
