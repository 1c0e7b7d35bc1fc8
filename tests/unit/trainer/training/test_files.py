from pathlib import Path

import pytest

from tests.support.training import solution, steps_group
from trainer.selection.pairs import PairKind
from trainer.training.data import PairGroup, SolutionRow
from trainer.training.files import BadData, read, write

GROUPS = [
    steps_group("p", "good", "bad"),
    steps_group("q", "right", "wrong", kind=PairKind.SOLUTION),
]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rows_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    solutions = [solution("p", "1 + 1\nor \u00e9?", "print(2)", "2")]
    write(tmp_path / f"solutions.{suffix}", solutions)
    write(tmp_path / f"groups.{suffix}", GROUPS)
    assert read(tmp_path / f"solutions.{suffix}", SolutionRow) == solutions
    assert read(tmp_path / f"groups.{suffix}", PairGroup) == GROUPS
    assert {path.name for path in tmp_path.iterdir()} == {
        f"solutions.{suffix}",
        f"groups.{suffix}",
    }


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, GROUPS)
    with path.open("a") as file:
        file.write('{"problem": "p"}\n')
    with pytest.raises(BadData, match=r"line 3: question"):
        read(path, PairGroup)


def test_rows_of_another_kind_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "rows.parquet", GROUPS)
    with pytest.raises(BadData, match="row 1: steps"):
        read(tmp_path / "rows.parquet", SolutionRow)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    for name, fault in [
        ("empty.jsonl", "no rows"),
        ("torn.parquet", "torn.parquet"),
        ("none.jsonl", "No such file"),
        ("rows.csv", "is wanted"),
    ]:
        with pytest.raises(BadData, match=fault):
            read(tmp_path / name, PairGroup)
