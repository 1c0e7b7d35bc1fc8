"""Options of a search: what a method presets and fixes, and ladders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.search.methods.presets import Method
from services.search.options import Budget, SearchOptions
from services.search.schemas import SolveRequest


@pytest.mark.parametrize(
    ("method", "preset"),
    [
        ("mcts", {"expansion": "trajectory", "answer": "weighted", "candidates": 8}),
        ("beam", {"expansion": "step", "answer": "best"}),
        ("best_of_n", {"expansion": "trajectory", "answer": "best"}),
        ("majority", {"expansion": "trajectory", "answer": "majority"}),
        ("greedy", {"expansion": "trajectory", "candidates": 1, "temperature": 0.0, "trees": 1}),
    ],
)
def test_a_method_presets_what_makes_it(method: str, preset: dict[str, object]) -> None:
    options = SearchOptions.model_validate({"method": method}).model_dump()
    assert {name: options[name] for name in preset} == preset


def test_a_default_gives_way_and_what_is_fixed_is_refused_by_name() -> None:
    assert SearchOptions(method="beam", answer="weighted").answer == "weighted"
    assert SearchOptions(method="greedy", temperature=0.0).temperature == 0.0
    with pytest.raises(ValidationError, match=r"temperature is 0.0 for method greedy"):
        SearchOptions(method="greedy", temperature=0.7)
    with pytest.raises(ValidationError, match="expansion is step for method beam"):
        SearchOptions(method="beam", expansion="trajectory")


@given(method=st.sampled_from(Method), ladder=st.none() | st.just([4, 8]))
def test_a_request_with_its_defaults_filled_in_is_a_request(
    method: Method, ladder: list[int] | None
) -> None:
    asked = SolveRequest.model_validate(
        {"problem": "x", "search": {"method": method.value}, "budget": {"ladder": ladder}}
    )
    assert SolveRequest.model_validate_json(asked.model_dump_json()) == asked


def test_a_ladder_rises_and_ends_in_the_budget_of_rollouts() -> None:
    assert Budget(ladder=[16, 64, 128]).rungs == (16, 64, 128)
    assert Budget(ladder=[16, 64, 128]).rollouts == 128
    assert Budget(rollouts=5).rungs == (5,)
    with pytest.raises(ValidationError, match="ladder must rise"):
        Budget(ladder=[16, 16])
    with pytest.raises(ValidationError, match="last rung"):
        Budget(ladder=[16, 64], rollouts=32)
