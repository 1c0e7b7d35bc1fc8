import json
from pathlib import Path

import pytest

from trainer.evaluation.problems import BadProblems, Problem, read_problems


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_reads_the_fields_of_the_common_releases(tmp_path: Path) -> None:
    path = write(
        tmp_path / "some.jsonl",
        {"id": "a", "question": "What is 1 + 1?", "answer": "2"},
        {"unique_id": "b", "problem": "What is\u20282 + 2?", "answer": 4, "level": 1},
        "",
        {"question": "What is 3 + 3?", "answer": "6"},
    )
    assert read_problems(path) == [
        Problem("a", "What is 1 + 1?", "2"),
        Problem("b", "What is\u20282 + 2?", "4"),
        Problem("4", "What is 3 + 3?", "6"),
    ]


def test_a_limit_takes_the_first_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "p", *({"id": i, "question": "q", "answer": "a"} for i in range(5)))
    assert [problem.id for problem in read_problems(path, 2)] == ["0", "1"]


def test_the_digest_follows_question_and_answer() -> None:
    problem = Problem("a", "q", "1")
    assert problem.digest == Problem("b", "q", "1").digest
    assert problem.digest != Problem("a", "q", "2").digest
    assert problem.digest != Problem("a", "r", "1").digest


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ({"answer": "1"}, "line 2: no question or problem"),
        ({"question": "q"}, "line 2: no answer"),
        ({"question": " ", "answer": "1"}, "line 2, question: must be text"),
        ({"question": "q", "answer": None}, "line 2, answer: must be text"),
        ({"question": "q", "answer": True}, "line 2, answer: must be text"),
        ({"id": "a", "question": "q", "answer": "1"}, "line 2, id: 'a' is used twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, complaint: str) -> None:
    path = write(tmp_path / "p", {"id": "a", "question": "q", "answer": "1"}, line)
    with pytest.raises(BadProblems, match=complaint):
        read_problems(path)


def test_a_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadProblems, match="nowhere"):
        read_problems(tmp_path / "nowhere")
    with pytest.raises(BadProblems, match="no problems in it"):
        read_problems(write(tmp_path / "p"))
