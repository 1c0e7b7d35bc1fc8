"""Replies as models write them: however they wrap a program, its new steps are found."""

import pytest

from services.common.steps import Step
from services.policy.endpoint.reading import Ending, Reading, read
from services.policy.prompts import Finish

GIVEN = [Step("# Step 1: Double it\nx = 2 * 3"), Step("# Step 2: Add one\ny = x + 1")]
TWO = "# Step 3: Square it\nz = y**2\n# Step 4: Print it\nprint(z)"
TEXTS = ["# Step 3: Square it\nz = y**2", "# Step 4: Print it\nprint(z)"]
BEFORE = "\n".join(step.text for step in GIVEN)


def chat(text: str, steps: list[Step] = GIVEN, most: int = 0, **ending: object) -> Reading:
    return read("chat", text, steps, most, Ending(**ending))  # type: ignore[arg-type]


def texts(reading: Reading) -> list[str]:
    return [piece.text for piece in reading.pieces[: reading.kept]]


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{TWO}\n```",
        f"Sure! Here it goes on:\n\n```python\n{TWO}\n```\n\nThis prints 49, the answer.",
        f"```\n{TWO}\n```",
        f"  ```py\n{TWO}\n  ```",
        f"```python\n{BEFORE}\n{TWO}\n```",
        f"```python\n{BEFORE.replace('Double it', 'Twice 3')}\n{TWO}\n```",
        f"As before:\n```python\n{BEFORE}\n```\nNow:\n```python\n{TWO}\n```",
        f"```python\n{TWO}\n```\nAll of it:\n```python\n{BEFORE}\n{TWO}\n```",
        f"```python\n{TEXTS[0]}\n```\nThen\n```python\n{TEXTS[1]}\n```\nOutput:\n```\n49\n```",
        f"<think>Try ```python\nfoo()\n``` or so</think>\n```python\n{TWO}\n```",
        TWO,
        f"Here is the rest.\n\n{TWO}\n\nIt prints 49, which is right!",
        "```python\n# Step 1: Square it\nz = y**2\n# Step 2: Print it\nprint(z)\n```",
    ],
)
def test_the_new_steps_are_found(reply: str) -> None:
    reading = chat(reply)
    assert (texts(reading), reading.finish) == (TEXTS, Finish.CODE)
    for piece in reading.pieces:
        assert reply[piece.start :].startswith("# Step")


def test_code_without_a_marker_gets_one() -> None:
    assert texts(chat("```python\nz = y**2\nprint(z)\n```")) == ["# Step 3:\nz = y**2\nprint(z)"]
    commented = "```python\n# Square it\n# at last\nprint(y**2)\n```"
    assert texts(chat(commented)) == ["# Step 3: Square it\n# at last\nprint(y**2)"]


@pytest.mark.parametrize(
    "reply", ["", " \n", "I cannot solve this.", "```text\nno\n```", f"```python\n{BEFORE}\n```"]
)
def test_a_reply_without_new_code_has_no_steps(reply: str) -> None:
    assert texts(chat(reply)) == []


def test_what_is_beyond_the_steps_wanted_is_left_out() -> None:
    reading = chat(f"```python\n{TWO}\n```", most=1)
    assert (texts(reading), reading.finish) == (TEXTS[:1], Finish.STEP)


def test_delimiters_are_taken_out() -> None:
    reply = "```python\n# Step 3: Print\nprint('<end_<end_of_step>of_step>')\n```"
    assert texts(chat(reply)) == ["# Step 3: Print\nprint('')"]


@pytest.mark.parametrize(
    ("reply", "ending", "finish"),
    [
        (f"```python\n{TEXTS[0]}", {"may_stop": True}, Finish.STEP),
        (f"```python\n{TEXTS[0]}", {"may_stop": True, "stop": "\n# Step 4:"}, Finish.STEP),
        (f"```python\n{TEXTS[0]}", {"may_stop": True, "stop": ""}, Finish.STEP),
        ("```python\n# Step 3: Print\nprint(y)", {"may_stop": True, "stop": ""}, Finish.CODE),
        (f"```python\n{TEXTS[0]}", {"may_stop": True, "stop": "```"}, Finish.CODE),
        (f"```python\n{TEXTS[0]}\n```", {"may_stop": True}, Finish.CODE),
        (f"```python\n{TEXTS[0]}", {}, Finish.CODE),
        (TEXTS[0], {"may_stop": True}, Finish.STEP),
        ("# Step 3: Print\nprint(y)", {"may_stop": True}, Finish.CODE),
        (f"```python\n{TEXTS[0]}", {"is_cut": True, "may_stop": True}, Finish.LENGTH),
        (f"```python\n{TEXTS[0]}\n```\nWhich is", {"is_cut": True}, Finish.CODE),
        ("Let me think", {"is_cut": True}, Finish.LENGTH),
    ],
)
def test_how_a_reply_ended(reply: str, ending: dict[str, object], finish: Finish) -> None:
    assert chat(reply, most=1, **ending).finish is finish


def test_raw_text_goes_on_within_the_block() -> None:
    reading = read("completions", " Square it\nz = y**2", GIVEN, 1, Ending(may_stop=True))
    assert (texts(reading), reading.finish) == (TEXTS[:1], Finish.STEP)
    whole = " Square it\nz = y**2\n# Step 4: Print it\nprint(z)\n"
    for reply in (whole, f"{whole}```\n\nProblem: another"):
        reading = read("completions", reply, GIVEN, 0, Ending())
        assert (texts(reading), reading.finish) == (TEXTS, Finish.CODE)
