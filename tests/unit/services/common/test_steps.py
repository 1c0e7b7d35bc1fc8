"""The trajectory grammar: solutions to text, text to steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.steps import (
    DELIMITERS,
    Step,
    clean,
    render_prompt,
    render_scored,
    render_solution,
    split_comment,
    split_steps,
)

PROBLEM = "What is 3 + 4?"
HEAD = (
    "<|user|>:\nWhat is 3 + 4?\n\n"
    "<|assistant|>: Let's think step by step and solve the problem with code.\n"
)
FIRST = Step("# Step 1: Name the numbers\na, b = 3, 4")
LAST = Step("# Now print the final answer\nprint(a + b)", ends_code=True, output="7\n")
ANSWER = Step("The result is \\boxed{7}.")
WHOLE = """<code>
# Step 1: Name the numbers
a, b = 3, 4
<end_of_step>

# Now print the final answer
print(a + b)
<end_of_code>
<output>7<end_of_output>
<answer>The result is \\boxed{7}.<end_of_answer>"""


def test_a_whole_solution_reads_as_in_the_paper() -> None:
    assert render_solution([FIRST, LAST, ANSWER]) == WHOLE
    assert render_scored(PROBLEM, [FIRST, LAST, ANSWER]) == HEAD + WHOLE


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_prompt_ends_where_the_next_step_begins(count: int) -> None:
    steps = [FIRST, LAST, ANSWER]
    prompt = render_prompt(PROBLEM, steps[:count])
    following = HEAD + render_solution(steps[: count + 1])
    assert following.startswith(prompt)
    assert following[len(prompt) :].startswith(steps[count].text)


PIECES = [*DELIMITERS, "<", ">", "end_of_", "code", "<end_", "of_step>", "x", "\n"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_output_can_forge_a_delimiter(text: str) -> None:
    assert not any(delimiter in clean(text) for delimiter in DELIMITERS)
    step = Step("# Step 1\nx", ends_code=True, output=text)
    assert render_solution([step]).count("<end_of_output>") == 1


def test_text_without_delimiters_stays_as_it_is() -> None:
    assert clean("a < b > c <b>code</b>") == "a < b > c <b>code</b>"


def test_a_program_is_cut_at_its_step_comments() -> None:
    program = "import math\n# Step 1: a\nx = 1\n\n# Step 2: b\n# Stepping on\ny = 2\n  # Step 3\n"
    assert split_steps(program) == [
        "import math\n# Step 1: a\nx = 1",
        "# Step 2: b\n# Stepping on\ny = 2\n  # Step 3",
    ]


@pytest.mark.parametrize(("text", "steps"), [("", []), (" \n", []), ("x = 1\n", ["x = 1"])])
def test_a_program_without_comments_is_one_step_or_none(text: str, steps: list[str]) -> None:
    assert split_steps(text) == steps


@given(st.lists(st.sampled_from(["x = 1", "print(x)", "# a note", ""]), max_size=8))
def test_cutting_loses_no_code(lines: list[str]) -> None:
    program = "\n".join(f"# Step {i}: do\n{line}" for i, line in enumerate(lines, 1))
    kept = [line for step in split_steps(program) for line in step.split("\n") if line]
    assert kept == [line for line in program.split("\n") if line]


@pytest.mark.parametrize(
    ("step", "comment", "code"),
    [
        ("# Step 1: Add\n# both\nx = 1 + 2\n# done", "Step 1: Add\nboth", "x = 1 + 2\n# done"),
        ("x = 1", "", "x = 1"),
        ("# only words", "only words", ""),
        ("", "", ""),
    ],
)
def test_a_step_is_its_comment_and_its_code(step: str, comment: str, code: str) -> None:
    assert split_comment(step) == (comment, code)
