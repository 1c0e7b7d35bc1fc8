import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training import steps_group
from trainer.training.files import BadData
from trainer.training.splits import split


@given(st.lists(st.integers(0, 50), min_size=2), st.floats(0.01, 0.99))
def test_no_problem_is_on_both_sides_and_no_row_is_lost(numbers: list[int], share: float) -> None:
    rows = [steps_group(f"p{n}", f"good {i}", "bad") for i, n in enumerate(numbers)]
    if len(set(numbers)) < 2:
        with pytest.raises(BadData, match="at least two"):
            split(rows, share)
        return
    train, held = split(rows, share)
    assert train
    assert held
    assert not {one.problem for one in train} & {one.problem for one in held}
    assert sorted(map(id, train + held)) == sorted(map(id, rows))


def test_a_problem_stays_on_its_side_when_others_come_and_go() -> None:
    rows = [steps_group(f"p{n}", "good", "bad") for n in range(2000)]
    held = {one.problem for one in split(rows, 0.1)[1]}
    assert 150 < len(held) < 250
    few = {one.problem for one in split(rows[::3], 0.1)[1]}
    assert few == held & {one.problem for one in rows[::3]}
