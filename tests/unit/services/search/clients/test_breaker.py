"""The circuit breaker: what it lets through, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.search.clients.breaker import Breaker, Circuit


def opened(now: float = 0.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker(threshold=3, pause_seconds=1.0, longest_seconds=4.0)
    for _ in range(3):
        assert breaker.admit(now)
        breaker.failed(now)
    return breaker


def test_only_failures_in_a_row_open_it() -> None:
    breaker = Breaker(threshold=3)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.state(0.0) is Circuit.CLOSED


def test_open_lets_nothing_through_then_one_call_at_a_time() -> None:
    breaker = opened()
    assert breaker.state(0.5) is Circuit.OPEN
    assert not breaker.admit(0.5)
    assert breaker.wait_seconds(0.5) == 0.5
    assert breaker.state(1.0) is Circuit.HALF_OPEN
    assert breaker.admit(1.0)
    assert not breaker.admit(1.0)
    breaker.succeeded()
    assert breaker.state(1.0) is Circuit.CLOSED
    assert breaker.admit(1.0)
    assert breaker.admit(1.0)


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(5):
        pauses.append(breaker.wait_seconds(now))
        now += pauses[-1]
        assert breaker.admit(now)
        breaker.failed(now)
    assert pauses == [1.0, 2.0, 4.0, 4.0, 4.0]
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(now)
    assert breaker.wait_seconds(now) == pytest.approx(1.0)


def test_a_trial_that_never_reports_blocks_no_further_one() -> None:
    breaker = opened()
    assert breaker.admit(1.0)
    assert not breaker.admit(1.5)
    assert breaker.admit(2.0)


def test_failures_of_calls_begun_before_it_opened_say_nothing_new() -> None:
    breaker = opened()
    for _ in range(20):
        breaker.failed(0.5)
    assert breaker.wait_seconds(0.5) == 0.5


@given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "ask"]), st.floats(0, 3)), max_size=60))
def test_it_can_always_be_closed_again(history: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(threshold=2, pause_seconds=0.5, longest_seconds=2.0), 0.0
    for event, passed in history:
        now += passed
        if event == "ok":
            breaker.succeeded()
        elif event == "fail":
            breaker.failed(now)
        else:
            may = breaker.wait_seconds(now) == 0
            assert breaker.admit(now) is may
        assert 0 <= breaker.wait_seconds(now) <= 2.0 + 1e-9
    now += breaker.wait_seconds(now)
    assert breaker.admit(now)
    breaker.succeeded()
    assert breaker.state(now) is Circuit.CLOSED
