"""What is made of the turns of the benchmark of traces."""

import pytest

from rstar.bench.tracing import _overhead


def test_the_overhead_is_of_all_turns_with_an_interval_that_holds_it() -> None:
    without = [3.0, 2.5, 4.0, 3.2]
    figures = _overhead([1.1 * cost for cost in without], without)
    assert figures["whole"] == figures["p50"] == pytest.approx(0.1)
    assert figures["ci95"] == pytest.approx([0.1, 0.1])


def test_one_turn_that_was_disturbed_widens_the_interval() -> None:
    without = [3.0] * 9
    low, high = _overhead([3.03] * 8 + [6.0], without)["ci95"]
    assert low == pytest.approx(0.01, abs=0.001)
    assert high > 0.2
