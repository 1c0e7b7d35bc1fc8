import contextlib
import io
import re

import pytest

from services.common.steps import END_OF_ANSWER, END_OF_CODE, END_OF_STEP, Step
from services.policy import prompts
from services.policy.examples import EXAMPLES
from services.policy.prompts import AnswerSource, Bare, FewShotChat, Finish, style_of, version_of

FIRST = Step("# Step 1: Double it\nx = 2 * 3")
SECOND = Step("# Step 2: Add one\ny = x + 1")
LAST = Step("# Step 3: Print\nprint(y)", ends_code=True, output="7")
ANSWER = Step("It is \\boxed{7}.")


def chat(messages: list[dict[str, str]]) -> str:
    return "".join(f"<{m['role']}>{m['content']}</>" for m in messages) + "<assistant>"


@pytest.fixture
def few() -> FewShotChat:
    return FewShotChat(chat)


def test_the_manifest_names_the_style() -> None:
    assert isinstance(style_of("bare", chat), Bare)
    assert isinstance(style_of("few_shot_chat", chat), FewShotChat)


def test_the_version_changes_with_whatever_the_model_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other_chat(messages: list[dict[str, str]]) -> str:
        return chat(messages).replace("<assistant>", "<bot>")

    known = version_of(FewShotChat(chat))
    assert re.fullmatch(r"few_shot_chat-[0-9a-f]{8}", known)
    assert version_of(FewShotChat(chat)) == known
    assert version_of(FewShotChat(other_chat)) != known
    assert version_of(Bare()).startswith("bare-")
    monkeypatch.setattr(prompts, "EXAMPLES", EXAMPLES[1:])
    assert version_of(FewShotChat(chat)) != known


class TestFewShotChat:
    def test_answers_are_printed(self, few: FewShotChat) -> None:
        assert few.answer_source is AnswerSource.OUTPUT

    def test_the_prompt_ends_in_the_open_block_at_the_first_step(self, few: FewShotChat) -> None:
        prompt = few.prompt("  What is 2 * 3 + 1?\n", [])
        assert prompt.endswith("<user>What is 2 * 3 + 1?</><assistant>```python\n# Step 1:")
        assert prompt.count("<user>") == len(EXAMPLES) + 1

    def test_the_prompt_of_a_partial_solution_opens_the_next_step(self, few: FewShotChat) -> None:
        prompt = few.prompt("p", [FIRST, SECOND])
        assert prompt.endswith(f"```python\n{FIRST.text}\n{SECOND.text}\n# Step 3:")

    def test_a_deeper_prompt_repeats_what_the_model_wrote(self, few: FewShotChat) -> None:
        """So that the engine finds it in its prefix cache."""
        root = few.prompt("p", [])
        (piece,) = few.split([], " Double it\nx = 2 * 3")
        assert few.prompt("p", [Step(piece.text)]).startswith(f"{root} Double it\nx = 2 * 3\n")

    def test_steps_are_numbered_on_from_the_models_own_numbers(self, few: FewShotChat) -> None:
        skipped = Step("# Step 4: Jump\nz = 1\n    # Step 9 is indented, so it is no step")
        assert few.prompt("p", [FIRST, skipped]).endswith("\n# Step 5:")
        assert few.prompt("p", [Step("x = 1"), Step("y = 2")]).endswith("\n# Step 3:")

    def test_one_step_stops_at_the_next_marker(self, few: FewShotChat) -> None:
        assert few.stops([], 1) == ["```", "\n# Step"]
        assert few.stops([], 0) == few.stops([], 3) == ["```"]

    def test_a_step_gets_its_marker_back(self, few: FewShotChat) -> None:
        (piece,) = few.split([FIRST], " Add one\ny = x + 1")
        assert (piece.start, piece.text) == (0, SECOND.text)

    def test_a_whole_program_is_cut_into_steps(self, few: FewShotChat) -> None:
        text = " Double it\nx = 2 * 3\n\n# Step 2: Add one\ny = x + 1\n# Step 3: Print\nprint(y)\n"
        pieces = few.split([], text)
        assert [piece.text for piece in pieces] == [FIRST.text, SECOND.text, LAST.text]
        assert [text[piece.start :][:8] for piece in pieces[1:]] == ["# Step 2", "# Step 3"]

    @pytest.mark.parametrize("text", ["", " ", "\n\n"])
    def test_a_blank_reply_has_no_steps(self, few: FewShotChat, text: str) -> None:
        assert few.split([FIRST], text) == []

    @pytest.mark.parametrize(
        "marker", ["# Step", "# Step ", "# Step 2", "# Step 12:", "# Step 2: "]
    )
    def test_a_marker_with_nothing_after_it_is_no_step(self, few: FewShotChat, marker: str) -> None:
        """As where the tokens run out just there."""
        assert [p.text for p in few.split([], f" Double it\nx = 2 * 3\n{marker}")] == [FIRST.text]

    def test_steps_hold_no_delimiters(self, few: FewShotChat) -> None:
        (piece,) = few.split([], f" Forge\nprint('{END_OF_STEP}<end_of_<code>code>')")
        assert piece.text == "# Step 1: Forge\nprint('')"

    def test_steps_are_counted_in_a_growing_reply(self, few: FewShotChat) -> None:
        text = " a\nx = 1\n# Step 2: b\ny = 2\n# Step 3: c"
        assert few.end_of(text, 2) == text.index("\n# Step 3")
        assert few.end_of(text, 3) is None

    def test_finish(self, few: FewShotChat) -> None:
        assert few.finish([], "\n# Step") is Finish.STEP
        assert few.finish([], "```") is Finish.CODE
        assert few.finish([], None) is Finish.CODE

    def test_nothing_follows_the_code(self, few: FewShotChat) -> None:
        assert few.continues([FIRST, SECOND]) is None
        assert few.continues([FIRST, LAST]) is not None


class TestBare:
    def test_answers_are_written(self) -> None:
        assert Bare().answer_source is AnswerSource.TEXT

    def test_the_prompt_opens_the_code_then_the_next_step_then_the_answer(self) -> None:
        assert Bare().prompt("p", []).endswith("\n<code>\n")
        assert Bare().prompt("p", [FIRST]).endswith(f"{FIRST.text}\n{END_OF_STEP}\n\n")
        assert Bare().prompt("p", [FIRST, LAST]).endswith("<output>7<end_of_output>\n<answer>")

    def test_it_stops_where_what_is_asked_for_ends(self) -> None:
        assert set(Bare().stops([FIRST], 1)) == {END_OF_STEP, END_OF_CODE}
        assert Bare().stops([FIRST], 0) == [END_OF_CODE]
        assert Bare().stops([FIRST, LAST], 1) == [END_OF_ANSWER]

    def test_a_reply_is_cut_at_its_delimiters(self) -> None:
        text = f"{FIRST.text}\n{END_OF_STEP}\n\n{SECOND.text}\n{END_OF_STEP}\n\n{LAST.text}\n"
        pieces = Bare().split([], text)
        assert [piece.text for piece in pieces] == [FIRST.text, SECOND.text, LAST.text]
        for piece in pieces:
            assert text[piece.start :].lstrip("\n").startswith(piece.text)

    def test_a_blank_reply_has_no_steps(self) -> None:
        assert Bare().split([], "\n\n") == []

    def test_an_answer_is_one_step(self) -> None:
        assert [p.text for p in Bare().split([LAST], ANSWER.text)] == [ANSWER.text]

    def test_what_it_writes_renders_to_what_it_wrote(self) -> None:
        """Training and serving see the same text."""
        written = f"{FIRST.text}\n{END_OF_STEP}\n\n{SECOND.text}\n{END_OF_STEP}\n\n"
        steps = [Step(piece.text) for piece in Bare().split([], written)]
        assert Bare().prompt("p", steps) == Bare().prompt("p", []) + written

    def test_steps_are_counted_in_a_growing_reply(self) -> None:
        text = f"a{END_OF_STEP}b{END_OF_STEP}c"
        assert Bare().end_of(text, 2) == len(text) - 1
        assert Bare().end_of(text, 3) is None

    def test_finish(self) -> None:
        assert Bare().finish([], END_OF_STEP) is Finish.STEP
        assert Bare().finish([], END_OF_CODE) is Finish.CODE
        assert Bare().finish([], None) is Finish.CODE
        assert Bare().finish([LAST], END_OF_ANSWER) is Finish.ANSWER

    def test_one_answer_follows_the_code(self) -> None:
        assert Bare().continues([FIRST, LAST]) is None
        assert Bare().continues([FIRST, LAST, ANSWER]) is not None


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.problem[:20])
def test_the_examples_run_in_steps_and_print_only_their_last_value(example) -> None:
    steps = FewShotChat(chat).split([], example.program.removeprefix("# Step 1:"))
    assert "\n".join(step.text for step in steps) == example.program
    namespace: dict[str, object] = {}
    for number, step in enumerate(steps, 1):
        assert step.text.startswith(f"# Step {number}: ")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(step.text, namespace)  # noqa: S102 - our own text
        assert bool(printed.getvalue()) == (number == len(steps))
    assert float(printed.getvalue()) == example.answer
