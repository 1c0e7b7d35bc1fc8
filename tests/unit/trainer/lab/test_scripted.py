from collections import Counter

import pytest

from trainer.lab.problems import generate
from trainer.lab.scripted import ErrorRates, Written, solve

PROBLEMS = {one.level: one for one in generate(6, "train", 3)}
RATES = ErrorRates()


def texts(written: list[Written]) -> list[str]:
    return [one.text for one in written]


@pytest.mark.parametrize("level", range(1, 7))
def test_at_temperature_zero_it_is_right(level: int) -> None:
    problem = PROBLEMS[level]
    written = solve(problem.question, 0, 0, 5, 0.0, RATES)
    assert texts(written) == problem.program.steps()
    assert [one.ends_code for one in written] == [False] * level + [True]


def test_the_same_seed_writes_the_same() -> None:
    question = PROBLEMS[6].question
    first = solve(question, 0, 0, 5, 1.0, RATES)
    assert solve(question, 0, 0, 5, 1.0, RATES) == first
    assert len({tuple(texts(solve(question, 0, 0, seed, 1.0, RATES))) for seed in range(30)}) > 3


def test_it_continues_what_is_there() -> None:
    problem = PROBLEMS[4]
    (step,) = solve(problem.question, 2, 1, 0, 0.0, RATES)
    assert step.text == problem.program.steps()[2]
    assert not step.ends_code


def test_steps_are_wrong_as_often_as_said() -> None:
    rates = ErrorRates(first=0.1, each=0.05)
    for level in (1, 3, 6):
        problem = PROBLEMS[level]
        right, wrong = problem.program.steps()[0], 0
        for seed in range(2_000):
            wrong += solve(problem.question, 0, 1, seed, 1.0, rates)[0].text != right
        # Four standard deviations.
        expected = rates.of(level)
        assert abs(wrong / 2_000 - expected) < 4 * (expected * (1 - expected) / 2_000) ** 0.5


def test_mistakes_are_of_every_kind() -> None:
    """Another sign, swapped operands, another number, another quantity, the end too early."""
    kinds: Counter[str] = Counter()
    for problem in generate(60, "train", 8, [4, 5, 6]):
        right = problem.program.steps()
        for seed in range(20):
            written = solve(problem.question, 0, 0, seed, 1.0, ErrorRates(0.5, 0.0))
            for one, wanted in zip(written, right, strict=False):
                if one.text != wanted:
                    kinds[_kind(one.text, wanted)] += 1
    assert set(kinds) == {"operation", "order", "left", "right", "early", "printed"}
    assert min(kinds.values()) > 10


def _kind(text: str, wanted: str) -> str:
    line, right = text.split("\n")[1], wanted.split("\n")[1]
    if line.startswith("print"):
        return "printed" if right.startswith("print") else "early"
    a, sign, b = line.split(" = ")[1].split(" ")
    c, wanted_sign, d = right.split(" = ")[1].split(" ")
    if sign != wanted_sign:
        return "operation"
    if (a, b) == (d, c):
        return "order"
    return "left" if a != c else "right"
