import math

import pytest

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.steps import Step
from services.policy.asks import parse
from services.policy.settings import PolicySettings

CONTEXT = 100
SETTINGS = PolicySettings(max_count=4, max_problem_chars=50, max_steps=3)


def ask(**changes: object) -> pb.ProposeRequest:
    sampling = {"temperature": 1.0, "max_tokens": 10, "max_steps": 1, "seed": 7}
    fields: dict[str, object] = {"search_id": "s", "problem": "p", "count": 2}
    for name, value in changes.items():
        if name in pb.Sampling.DESCRIPTOR.fields_by_name:
            sampling[name] = value
        else:
            fields[name] = value
    return pb.ProposeRequest(sampling=pb.Sampling(**sampling), **fields)


def test_a_valid_request_is_taken_over() -> None:
    steps = [pb.Step(text="# Step 1: x\nx = 1", ends_code=True, output="1")]
    parsed = parse(ask(steps=steps), SETTINGS, CONTEXT)
    assert (parsed.problem, parsed.count) == ("p", 2)
    assert parsed.steps == (Step("# Step 1: x\nx = 1", ends_code=True, output="1"),)
    assert (parsed.sampling.max_tokens, parsed.sampling.max_steps) == (10, 1)


def test_top_p_of_zero_is_off() -> None:
    assert parse(ask(), SETTINGS, CONTEXT).sampling.top_p == 1.0
    assert parse(ask(top_p=0.5), SETTINGS, CONTEXT).sampling.top_p == 0.5


def test_each_candidate_has_a_seed_of_its_own_also_at_the_end_of_the_range() -> None:
    sampling = parse(ask(seed=2**64 - 1), SETTINGS, CONTEXT).sampling
    assert [sampling.seed_of(i) for i in range(3)] == [2**64 - 1, 0, 1]


@pytest.mark.parametrize(
    ("field", "limit", "changes"),
    [
        ("search_id", "1 to 64", {"search_id": ""}),
        ("search_id", "1 to 64", {"search_id": "s" * 65}),
        ("problem", "1 to 50", {"problem": ""}),
        ("problem", "blank", {"problem": " \n"}),
        ("problem", "1 to 50", {"problem": "p" * 51}),
        ("count", "1 to 4", {"count": 0}),
        ("count", "1 to 4", {"count": 5}),
        ("steps", "0 to 3", {"steps": [pb.Step(text="x")] * 4}),
        ("steps[1].text", "blank", {"steps": [pb.Step(text="x"), pb.Step(text=" ")]}),
        ("steps[0].text", "65536 bytes", {"steps": [pb.Step(text="é" * 32_769)]}),
        ("steps[0].text", "<end_of_step>", {"steps": [pb.Step(text="x<end_of_step>")]}),
        ("steps[0].output", "16384 bytes", {"steps": [pb.Step(text="x", output="o" * 16_385)]}),
        ("sampling.temperature", "0 to 2", {"temperature": -0.1}),
        ("sampling.temperature", "0 to 2", {"temperature": 2.1}),
        ("sampling.temperature", "0 to 2", {"temperature": math.nan}),
        ("sampling.temperature", "0 to 2", {"temperature": math.inf}),
        ("sampling.top_p", "0 to 1", {"top_p": 1.5}),
        ("sampling.top_p", "0 to 1", {"top_p": math.nan}),
        ("sampling.max_tokens", "1 to 100", {"max_tokens": 0}),
        ("sampling.max_tokens", "1 to 100", {"max_tokens": 101}),
        ("sampling.max_steps", "0 to 3", {"max_steps": 4}),
    ],
)
def test_a_field_over_its_limit_is_named_with_the_limit(
    field: str, limit: str, changes: dict[str, object]
) -> None:
    with pytest.raises(rpc.InvalidField) as raised:
        parse(ask(**changes), SETTINGS, CONTEXT)
    assert raised.value.name == field
    assert limit in raised.value.limit
