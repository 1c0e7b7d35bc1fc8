import contextlib
import io
from collections import Counter
from pathlib import Path

import pytest

from trainer.lab.language import NotInLanguage, read
from trainer.lab.problems import LEVELS, MAX_VALUE, LabProblem, generate, template, write
from trainer.lab.program import understand
from trainer.problems.files import read_problems

TRAIN = list(generate(240, "train", 1))
HELD_OUT = list(generate(120, "held_out", 1))


def run(steps: list[str]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec("\n".join(steps), {})  # noqa: S102 - the laboratory's own code
    return printed.getvalue().strip()


def test_the_same_seed_gives_the_same_problems() -> None:
    assert list(generate(60, "train", 1)) == TRAIN[:60], "and a shorter list begins a longer one"
    assert [one.question for one in generate(12, "train", 2)] != [
        one.question for one in TRAIN[:12]
    ]


def test_levels_are_computations_and_come_in_turn() -> None:
    assert Counter(one.level for one in TRAIN) == Counter(dict.fromkeys(LEVELS, 40))
    assert all(len(one.program.lines) == one.level for one in TRAIN)


def test_no_two_problems_are_alike() -> None:
    questions = [one.question for one in TRAIN + HELD_OUT]
    assert len(set(questions)) == len(questions)


def test_the_answer_is_what_the_right_steps_print() -> None:
    for one in TRAIN + HELD_OUT:
        assert run(one.program.steps()) == str(one.program.answer), one.question


def test_every_quantity_is_a_small_positive_number_and_divisions_are_exact() -> None:
    for one in TRAIN + HELD_OUT:
        values = one.program.values()
        assert all(0 < value <= MAX_VALUE for value in values), one.question
        for number, line in enumerate(one.program.lines):
            if line.op == "divide" and isinstance(line.right, int):
                before = line.left if isinstance(line.left, int) else values[line.left.step]
                assert before == values[number] * line.right


def test_every_computation_is_needed() -> None:
    for one in TRAIN:
        used = {str(side) for line in one.program.lines for side in (line.left, line.right)}
        assert {"abcdef"[i] for i in range(one.level - 1)} <= used, one.question


def test_text_is_read_back_as_it_was_meant() -> None:
    for one in TRAIN + HELD_OUT:
        assert tuple(read(one.question)) == one.sentences
        assert understand(read(one.question)) == one.program


def test_held_out_problems_have_other_numbers_and_other_templates() -> None:
    def begins(one: LabProblem) -> tuple[int, int]:
        told = [s for s in one.sentences if s.wording.kind != "noise"]
        first, second = [n for s in told for n in (s.m, s.n) if n][:2]
        return first, second

    assert not {begins(one) for one in TRAIN} & {begins(one) for one in HELD_OUT}
    # But no number is one that only evaluation has: it would be a token that nothing teaches.
    known, new = ({n for one in some for n in begins(one)} for some in (TRAIN, HELD_OUT))
    assert len(new - known) <= 0.25 * len(new)
    # Stories of two sentences and a question have too few templates.
    told = [{template(one.sentences) for one in some} for some in (TRAIN, HELD_OUT)]
    assert all(one.count(" .") <= 2 for one in told[0] & told[1])


def test_harder_problems_have_distractors() -> None:
    noisy = Counter(one.level for one in TRAIN if one.program.noise)
    assert noisy[1] == 0
    assert all(noisy[level] > 5 for level in (2, 4, 6))


def test_problems_are_short() -> None:
    assert max(len(one.question.split()) for one in TRAIN + HELD_OUT) <= 76


def test_a_file_of_them_is_read_as_any_other(tmp_path: Path) -> None:
    write(tmp_path / "lab.jsonl", TRAIN[:12])
    found = read_problems(tmp_path / "lab.jsonl")
    assert found == [one.as_problem() for one in TRAIN[:12]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("What is 1 + 1?", "not a sentence"),
        ("Ann has 3 pens .", "nothing is asked"),
        ("Ann has 3 pens . how many pens has Ben ?", "nothing is"),
        ("Ann finds 3 more . how many pens has Ann now ?", "was not told"),
        ("how many pens has Ann now ? Ann has 3 pens .", "follows the question"),
        ("Ann has 3 more than Ben . how many pens has Ann ?", "what Ben has"),
    ],
)
def test_what_it_could_not_have_written_is_refused(text: str, said: str) -> None:
    with pytest.raises(NotInLanguage, match=said):
        understand(read(text))
