"""The input and the count of the plain batch; the engine itself is measured, not tested."""

import json

import pytest

from services.common.steps import Step
from services.policy.plain_batch import Meter, Wanted, parse


def test_candidates_are_read_line_by_line() -> None:
    steps = [{"text": "# Step 1\nx = 1", "ends_code": False, "output": ""}]
    line = json.dumps({"problem": "What?", "steps": steps, "tokens": 7})
    assert parse([line]) == [Wanted("What?", (Step("# Step 1\nx = 1"),), 7)]


@pytest.mark.parametrize(
    "line", ["", "[]", '{"problem": "a"}', '{"problem": "a", "steps": [{"x": 1}], "tokens": 1}']
)
def test_a_bad_line_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 1: "):
        parse([line])


def test_no_candidates_are_no_batch() -> None:
    with pytest.raises(ValueError, match="no candidates"):
        parse([])


def test_tokens_count_from_the_start_on() -> None:
    meter = Meter()
    meter.add(5)
    meter.start()
    meter.add(3)
    assert meter.tokens == 3
