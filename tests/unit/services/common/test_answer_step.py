"""Answers that code has printed, written out as a trained policy writes them."""

import pytest

from services.common.answer_step import answer_step
from services.common.grading import answers


@pytest.mark.parametrize(
    ("output", "graded", "text"),
    [
        ("18\n", "18", r"\boxed{18}"),
        ("Total: $18.00\n", "18", r"\boxed{18.00}"),
        ("x = 5", "5", r"\boxed{5}"),
        ("", "7", r"\boxed{7}"),
        # Read back, this would be cut at its first closing brace.
        ("a}b\n", "a b", r"\boxed{a b}"),
    ],
)
def test_the_printed_answer_is_boxed_where_it_is_read_back_the_same(
    output: str, graded: str, text: str
) -> None:
    step = answer_step(output, graded)
    assert step.text == text
    assert not step.ends_code
    assert answers.from_text(step.text) is not None
