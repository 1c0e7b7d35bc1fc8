"""What is drawn from a policy within a span of time."""

import pytest

from rstar.bench.recorder import Drawn, mean_level, spans, tokens_between
from services.common.pb.policy.v1 import policy_pb2

REQUEST = policy_pb2.ProposeRequest()


@pytest.mark.parametrize(
    ("begin", "end", "tokens"), [(0, 10, 100), (0, 5, 50), (5, 20, 50), (4, 6, 20), (10, 20, 0)]
)
def test_a_candidates_tokens_are_spread_over_its_life(begin: int, end: int, tokens: int) -> None:
    computed = spans([Drawn(REQUEST, 0, 100, 0.0, 10.0)], 4)
    assert tokens_between(computed, begin, end) == pytest.approx(tokens)


def test_spans_add_up_to_all_tokens() -> None:
    drawn = [Drawn(REQUEST, 0, 10 * i, i / 2, i + 1.0) for i in range(1, 9)]
    parts = sum(tokens_between(spans(drawn, 4), at, at + 1) for at in range(10))
    assert parts == pytest.approx(sum(one.tokens for one in drawn))


def test_what_waits_for_room_in_the_batch_computes_nothing() -> None:
    drawn = [Drawn(REQUEST, 0, 10, 0.0, 5.0), Drawn(REQUEST, 1, 10, 0.0, 10.0)]
    assert tokens_between(spans(drawn, 1), 0.0, 5.0) == pytest.approx(10)
    assert tokens_between(spans(drawn, 1), 5.0, 10.0) == pytest.approx(10)


def test_the_mean_of_a_level_weighs_it_by_time() -> None:
    levels = [(0.0, 4), (5.0, 8), (7.0, 0)]
    assert mean_level(levels, 0.0, 10.0) == pytest.approx((5 * 4 + 2 * 8) / 10)
    assert mean_level(levels, 6.0, 8.0) == pytest.approx(4.0)
    assert mean_level(levels, 8.0, 9.0) == 0.0
    assert mean_level([], 0.0, 1.0) == 0.0
