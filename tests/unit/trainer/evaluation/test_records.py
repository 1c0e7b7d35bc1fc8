from pathlib import Path

import pytest

from trainer.evaluation.records import (
    RECORDS_FILE,
    Failure,
    RatedAnswer,
    Record,
    RunError,
    RunFolder,
    read_records,
    read_settings,
)

SETTINGS = {"method": "greedy", "seed": 0}


def record(identity: str, **fields: object) -> Record:
    given = {"problem_digest": "d", "gold": "1", "seed": 1, "grader": "g", "settings_digest": "s"}
    return Record(id=identity, **(given | fields))


def test_records_come_back_with_the_last_one_of_a_problem(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", SETTINGS) as folder:
        folder.append(record("a", failure=Failure(code="INTERNAL", details="x")))
        folder.append(record("b", answer="2"))
        folder.append(record("a", answer="1", correct=True))
    with RunFolder(tmp_path / "run", SETTINGS) as folder:
        assert folder.records["a"].correct
        assert set(folder.records) == {"a", "b"}
    assert read_records(tmp_path / "run")["a"].failure is None
    assert read_settings(tmp_path / "run") == SETTINGS


def test_a_line_cut_off_by_a_crash_is_dropped(tmp_path: Path) -> None:
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(record("a"))
    with (tmp_path / RECORDS_FILE).open("a") as file:
        file.write('{"id": "b", "gol')
    assert set(read_records(tmp_path)) == {"a"}
    with RunFolder(tmp_path, SETTINGS) as folder:
        assert set(folder.records) == {"a"}
        folder.append(record("c"))
    assert set(read_records(tmp_path)) == {"a", "c"}


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(record("a"))
    with (
        pytest.raises(RunError, match="another seed"),
        RunFolder(tmp_path, {**SETTINGS, "seed": 1}),
    ):
        pass


def test_two_evaluations_cannot_write_one_folder(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path, SETTINGS),
        pytest.raises(RunError, match="another evaluation"),
        RunFolder(tmp_path, SETTINGS),
    ):
        pass


def test_other_models_are_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(record("a", policy="p1"))
        folder.append(record("b", policy="", failure=Failure(code="INTERNAL", details="")))
        folder.append(record("c", policy="p1"))
        with pytest.raises(RunError, match=r"'p1'.*'p2'"):
            folder.append(record("d", policy="p2"))
        with pytest.raises(RunError, match=r"grader 'g'.*'h'"):
            folder.append(record("d", policy="p1", grader="h"))
        with pytest.raises(RunError, match=r"'v1' answer"):
            folder.append(record("e", policy="p1", ppm="v1"))
        folder.append(record("f", policy="p1", prompt_version="bare-1"))
        with pytest.raises(RunError, match=r"prompt_version 'bare-1'.*'bare-2'"):
            folder.append(record("g", policy="p1", prompt_version="bare-2"))
        assert set(folder.records) == {"a", "b", "c", "f"}


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    with RunFolder(tmp_path, SETTINGS):
        pass
    (tmp_path / RECORDS_FILE).write_text("{}\n")
    with pytest.raises(RunError, match="line 1"):
        read_records(tmp_path)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    for read in (read_records, read_settings):
        with pytest.raises(RunError, match="no run of an evaluation"):
            read(tmp_path)


def test_the_oracle_looks_at_every_answer() -> None:
    wrong = RatedAnswer(answer="2", weight=0.6, trajectories=3, correct=False)
    right = RatedAnswer(answer="1", weight=0.4, trajectories=2, correct=True)
    assert record("a", alternatives=[wrong, right]).oracle
    assert not record("a", alternatives=[wrong]).oracle
    assert record("a", correct=True).oracle
