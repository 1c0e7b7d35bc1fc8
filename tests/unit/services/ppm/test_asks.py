import pytest

from services.common import rpc
from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.steps import Step
from services.ppm.asks import parse
from services.ppm.settings import PpmSettings

SETTINGS = PpmSettings(max_batch=2, max_problem_chars=50, max_steps=3)
SOLUTION = pb.PartialSolution(steps=[pb.Step(text="x = 1", ends_code=True, output="1")])


def ask(**changes: object) -> pb.ScoreRequest:
    fields: dict[str, object] = {"search_id": "s", "problem": "p", "solutions": [SOLUTION]}
    return pb.ScoreRequest(**{**fields, **changes})


def solution(*steps: pb.Step) -> pb.PartialSolution:
    return pb.PartialSolution(steps=steps)


def test_a_valid_request_is_taken_over() -> None:
    (parsed,) = parse(ask(), SETTINGS)
    assert parsed.problem == "p"
    assert parsed.solutions == ((Step("x = 1", ends_code=True, output="1"),),)


def test_what_goes_along_is_taken_over_in_its_order() -> None:
    first, second = parse(ask(more=[ask(search_id="t", problem="q")]), SETTINGS)
    assert (first.problem, second.problem) == ("p", "q")
    assert first.solutions == second.solutions


@pytest.mark.parametrize(
    ("field", "limit", "changes"),
    [
        ("more[0].problem", "blank", {"more": [ask(problem=" ")]}),
        ("more[1].search_id", "1 to 64", {"more": [ask(), ask(search_id="")]}),
        ("more[0].solutions[0].steps", "1 to 3", {"more": [ask(solutions=[solution()])]}),
        ("more[0].more", "no more", {"more": [ask(more=[ask()])]}),
        ("more[0].model_version", "whole call", {"more": [ask(model_version="v2")]}),
        ("solutions", "1 to 2 partial solutions in all", {"more": [ask(), ask()]}),
        ("search_id", "1 to 64", {"search_id": ""}),
        ("problem", "1 to 50", {"problem": "p" * 51}),
        ("problem", "blank", {"problem": "\t"}),
        ("solutions", "1 to 2", {"solutions": []}),
        ("solutions", "1 to 2", {"solutions": [SOLUTION] * 3}),
        ("solutions[1].steps", "1 to 3", {"solutions": [SOLUTION, solution()]}),
        ("solutions[0].steps", "1 to 3", {"solutions": [solution(*[pb.Step(text="x")] * 4)]}),
        ("solutions[0].steps[0].text", "blank", {"solutions": [solution(pb.Step())]}),
        (
            "solutions[0].steps[0].output",
            "16384 bytes",
            {"solutions": [solution(pb.Step(text="x", output="o" * 16_385))]},
        ),
    ],
)
def test_a_field_over_its_limit_is_named_with_the_limit(
    field: str, limit: str, changes: dict[str, object]
) -> None:
    with pytest.raises(rpc.InvalidField) as raised:
        parse(ask(**changes), SETTINGS)
    assert raised.value.name == field
    assert limit in raised.value.limit
