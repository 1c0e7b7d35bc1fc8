"""Files of problems."""

from pathlib import Path

import pytest

from rstar.problems import BadProblems, read_problems

EXAMPLES = Path(__file__).parents[3] / "examples" / "problems.jsonl"


def test_the_examples_have_names_and_answers() -> None:
    problems = read_problems(EXAMPLES)
    assert len({problem.id for problem in problems}) == len(problems) >= 5
    assert all(problem.answer for problem in problems)


def test_a_problem_without_an_id_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"question": "a"}\n\n{"question": "b", "answer": 7, "level": 3}\n')
    first, second = read_problems(file)
    assert (first.id, first.answer) == ("1", None)
    assert (second.id, second.answer) == ("3", "7")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"question": "a"}\n{"question": 3}\n{', "line 3"),
        ('{"id": "x"}\n', "line 1, question: Field required"),
        ("[1]\n", "line 1"),
        ("\n", "no problems in it"),
        ("\x00\xff", "line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(text)
    with pytest.raises(BadProblems, match=words):
        read_problems(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadProblems, match=r"none\.jsonl"):
        read_problems(tmp_path / "none.jsonl")
