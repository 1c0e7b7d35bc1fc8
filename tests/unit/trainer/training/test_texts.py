"""What is trained on is, character for character, what the services send to their engines."""

import asyncio

import pytest

from services.common.steps import Step
from services.policy.prompts import Bare
from services.ppm import scorer
from services.ppm.asks import Ask
from tests.support.training import solution
from trainer.training.data import MemberRow, PairGroup, PairKind, SolutionRow, StepRow
from trainer.training.files import BadData
from trainer.training.texts import judged, lesson

QUESTION = "  Two boxes of 3 <b>.\nHow many?\n"
STEPS = (
    StepRow(text="# Step 1: Multiply\nx = 2 * 3"),
    StepRow(text="# Step 2: Print\nprint(x)", ends_code=True, output="6 <end_of_code> \n\n"),
    StepRow(text="The answer is \\boxed{6}."),
)
ROW = SolutionRow(problem="p", question=QUESTION, steps=STEPS)


def test_prompts_are_those_that_the_policy_service_sends() -> None:
    code = [one.step for one in STEPS[:2]]
    found = lesson(ROW)
    assert found.prompts == (Bare().prompt(QUESTION, []), Bare().prompt(QUESTION, code))


def test_what_is_written_is_read_back_as_the_same_steps() -> None:
    """Up to the text at which the service stops, which it leaves out."""
    style, found = Bare(), lesson(ROW)
    code, answer = (found.text[start:end] for start, end in found.written)
    (stop,) = style.stops([], 0)
    assert code.endswith(stop)
    pieces = style.split([], code.removesuffix(stop))
    assert [piece.text for piece in pieces] == [one.text for one in STEPS[:2]]
    after = [one.step for one in STEPS[:2]]
    (stop,) = style.stops(after, 0)
    assert answer.endswith(stop)
    assert [p.text for p in style.split(after, answer.removesuffix(stop))] == [STEPS[2].text]
    assert found.text.endswith(answer)


def test_judged_texts_are_those_that_the_ppm_service_sends() -> None:
    class Engine:
        """Keeps what it is asked to cut into tokens."""

        context_tokens = 10_000

        def __init__(self) -> None:
            self.asked: list[tuple[str, bool]] = []

        async def tokenize(self, text: str, *, add_special_tokens: bool) -> list[int]:
            self.asked.append((text, add_special_tokens))
            return [1]

    group = PairGroup(
        problem="p",
        question=QUESTION,
        kind=PairKind.STEP,
        prefix=STEPS[:1],
        members=(MemberRow(steps=STEPS[1:], q=1), MemberRow(steps=STEPS[1:2], q=0)),
        pairs=((0, 1),),
    )
    steps = tuple(one.step for one in STEPS)
    engine = Engine()
    ask = Ask(QUESTION, (steps, steps[:2]))
    for index in range(2):
        asyncio.run(scorer._prompt(engine, ask, index))  # type: ignore[arg-type]
    assert judged(group) == [text for text, _ in engine.asked]
    assert all(special for _, special in engine.asked)


@pytest.mark.parametrize(
    "steps",
    [STEPS[:2], STEPS[:1], STEPS[1:2] + STEPS[1:], (StepRow(text="no code"), STEPS[2])],
)
def test_solutions_that_the_policy_could_not_write_are_refused(steps: tuple[StepRow, ...]) -> None:
    with pytest.raises(BadData, match="code that ends, and then one answer"):
        lesson(ROW.model_copy(update={"steps": steps}))


def test_an_output_cannot_forge_the_end_of_the_code() -> None:
    row = solution("p", "q", "print(1)", "<end_<end_of_code>of_code>1")
    code_end = lesson(row).written[0][1]
    assert lesson(row).text[:code_end].count("<end_of_code>") == 1
    assert lesson(row).prompts[1] == Bare().prompt(
        "q", [Step("# Step 1: print(1)", ends_code=True, output="1")]
    )
