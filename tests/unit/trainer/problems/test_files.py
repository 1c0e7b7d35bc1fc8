import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from trainer.problems.files import read_problems
from trainer.problems.problem import BadProblems, Problem

EXAMPLES = Path(__file__).parents[4] / "examples" / "problems.jsonl"


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
        Problem("b", "What is\u20282 + 2?", "4", level="1"),
        Problem("3", "What is 3 + 3?", "6"),
    ]


def test_answers_may_be_missing_where_they_are_not_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", {"question": "a"}, {"question": "b", "answer": 7})
    first, second = read_problems(path, answered=False)
    assert (first.id, first.answer, second.answer) == ("1", "", "7")
    with pytest.raises(BadProblems, match="line 1: no final_answer or answer"):
        read_problems(path)


def test_the_examples_have_names_and_answers() -> None:
    problems = read_problems(EXAMPLES)
    assert len(problems) >= 5
    assert all(problem.answer and problem.id for problem in problems)


def test_a_limit_takes_the_first_ones(tmp_path: Path) -> None:
    rows = [{"id": i, "question": "q", "answer": "a"} for i in range(5)]
    path = write(tmp_path / "p.jsonl", *rows)
    assert [problem.id for problem in read_problems(path, 2)] == ["0", "1"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ({"answer": "1"}, "line 2: no question or problem"),
        ({"question": "q"}, "line 2: no final_answer or answer"),
        ({"question": " ", "answer": "1"}, "line 2, question: must be text"),
        ({"question": "q", "answer": None}, "line 2, answer: must be text"),
        ({"question": "q", "answer": True}, "line 2, answer: must be text"),
        ({"id": "a", "question": "q", "answer": "1"}, "line 2, id: 'a' is used twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, complaint: str) -> None:
    path = write(tmp_path / "p.jsonl", {"id": "a", "question": "q", "answer": "1"}, line)
    with pytest.raises(BadProblems, match=complaint):
        read_problems(path)


def test_a_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadProblems, match="nowhere"):
        read_problems(tmp_path / "nowhere.jsonl")
    with pytest.raises(BadProblems, match="no problems in it"):
        read_problems(write(tmp_path / "p.jsonl"))


def test_json_may_be_a_list_or_hold_one(tmp_path: Path) -> None:
    rows = [{"id": "a", "question": "q", "answer": "1"}]
    plain, wrapped = tmp_path / "plain.json", tmp_path / "wrapped.json"
    plain.write_text(json.dumps(rows))
    wrapped.write_text(json.dumps({"version": 1, "data": rows}))
    assert read_problems(plain) == read_problems(wrapped) == [Problem("a", "q", "1")]
    wrapped.write_text(json.dumps({"train": rows, "test": rows}))
    with pytest.raises(BadProblems, match="one list in it"):
        read_problems(wrapped)
    plain.write_text(json.dumps([*rows, 3]))
    with pytest.raises(BadProblems, match="item 2: not a JSON object"):
        read_problems(plain)


def test_parquet_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    table = pyarrow.table({"ID": ["x", "y"], "Problem": ["p", "q"], "Answer": [204, 33]})
    parquet.write_table(table, path)
    assert read_problems(path) == [Problem("x", "p", "204"), Problem("y", "q", "33")]
    parquet.write_table(pyarrow.table({"Problem": ["p"], "Answer": [None]}), path)
    with pytest.raises(BadProblems, match="row 1, answer: must be text"):
        read_problems(path)
    path.write_bytes(b"PAR1 is not enough")
    with pytest.raises(BadProblems, match=r"some\.parquet"):
        read_problems(path)


def test_another_ending_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadProblems, match=r"\.jsonl, \.json, \.parquet is wanted"):
        read_problems(tmp_path / "some.csv")
