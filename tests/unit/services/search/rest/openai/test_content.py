import re

import pytest

from services.search.rest.openai.content import finish_reason, parts
from services.search.schemas import Models, Solution, Step, Usage

# The filter `flexible-extract` of lm-evaluation-harness's task gsm8k: the last match counts.
LAST_NUMBER = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")


def step(output: str) -> Step:
    return Step(
        text="Step 1: Say it", code="print(x)", output=output, q=0.5, visits=1, ppm_score=None
    )


def solution(answer: str | None) -> Solution:
    return Solution(
        search_id="s",
        answer=answer,
        confidence=1.0,
        steps=[step("1.5")],
        alternatives=[],
        stop_reason="rollouts",
        usage=Usage(),
        models=Models(policy="p", ppm=None),
        guided=False,
    )


@pytest.mark.parametrize("answer", ["7", "42", "-3", "0.5", "1234"])
def test_harnesses_that_take_the_last_number_find_the_answer(answer: str) -> None:
    found = LAST_NUMBER.findall("".join(parts(solution(answer))))[-1]
    assert [group for group in found if group] == [answer]


def test_without_a_solution_it_says_so() -> None:
    (text,) = parts(solution(None))
    assert not LAST_NUMBER.findall(text)
    assert finish_reason(solution(None)) == "length"


def test_a_fence_in_the_output_does_not_end_its_block() -> None:
    (text, _) = parts(solution("1").model_copy(update={"steps": [step("```")]}))
    assert "````output\n```\n````" in text
