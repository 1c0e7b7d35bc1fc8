import json
from pathlib import Path

import pytest

from trainer.evaluation.records import RatedAnswer, Record, RunError, Usage
from trainer.evaluation.report import read_run, write
from trainer.evaluation.rules import choices
from trainer.evaluation.summary import summarise
from trainer.evaluation.tree_files import TreeFiles
from trainer.found_tree import FoundTree
from trainer.problems.problem import Problem
from trainer.reports.page import FILE
from trainer.trees import ROOT_ID, TreeNode

PROBLEMS = [Problem("a", "Is 1 < 2 & 3?", "1", "Level 2"), Problem("b", "q", "2")]


def tree(answer: str, correct: bool) -> FoundTree:
    leaf = {"text": "# Step 1: <b>print</b>\nprint(1)", "outcome": "terminal", "output": "1"}
    return FoundTree(
        [
            TreeNode(id="n", parent=ROOT_ID, answer=answer, correct=correct, ppm_score=0.5, **leaf),
            TreeNode(id="m", parent=ROOT_ID, text="boom()", outcome="failed", error="NameError"),
        ]
    )


def record(identity: str, answer: str, correct: bool, tokens: int) -> Record:
    return Record(
        id=identity,
        question=PROBLEMS[0].question,
        problem_digest="d",
        gold="1",
        seed=3,
        answer=answer,
        correct=correct,
        stop_reason="tokens",
        alternatives=[RatedAnswer(answer=answer, weight=1, trajectories=4, correct=correct)],
        usage=Usage(policy_tokens=tokens, rollouts=4),
        rules=choices([tree(answer, correct)]),
        grader="math-verify 0",
        settings_digest="s",
    )


def run(folder: Path, suite: str, method: str, records: list[Record]) -> Path:
    folder.mkdir()
    settings = {"suite": suite, "method": method}
    for one in records:
        TreeFiles(folder).write(one, [tree(one.answer or "", one.correct)])
    lines = "".join(one.model_dump_json() + "\n" for one in records)
    (folder / "records.jsonl").write_text(lines)
    (folder / "run.json").write_text(json.dumps(settings))
    summary = summarise(
        settings, PROBLEMS, records, concurrency=1, dollars_per_million=2.0, out=str(folder)
    )
    (folder / "summary.json").write_text(summary.model_dump_json())
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    wrong, right = record("a", "<7>", False, 100), record("a", "1", True, 400)
    same = record("b", "1", True, 100)
    return [
        run(tmp_path / "greedy", "gsm8k", "greedy", [wrong, same]),
        run(tmp_path / "majority", "gsm8k", "best_of_n@4", [right, same]),
    ]


def test_runs_stand_beside_each_other_and_the_paper(folders: list[Path], tmp_path: Path) -> None:
    path = write([read_run(folder) for folder in folders], tmp_path / "report")
    page = path.read_text()
    assert path.name == FILE
    assert (path.parent / "gsm8k.png").is_file()
    assert (path.parent / "reliability.png").is_file()
    assert "50.0 %" in page
    assert "pass@k of best_of_n@4" in page
    assert "Level 2" in page
    assert "95.0 %" in page  # the paper's Qwen2.5-Math-7B on GSM8K
    assert "by_likelihood" in page
    assert "0.000500" in page  # 250 tokens at two dollars a million


def test_problems_won_are_shown_with_both_trees(folders: list[Path], tmp_path: Path) -> None:
    page = write([read_run(folder) for folder in folders], tmp_path / "report").read_text()
    assert "1 won by best_of_n@4" in page
    assert "0 lost by best_of_n@4" in page
    assert "NameError" in page
    assert ', <span class="right">answers 1</span>' in page


def test_what_a_model_wrote_is_text_and_never_markup(folders: list[Path], tmp_path: Path) -> None:
    page = write([read_run(folder) for folder in folders], tmp_path / "report").read_text()
    assert "<b>print</b>" not in page
    assert "&lt;b&gt;print&lt;/b&gt;" in page
    assert "&lt;7&gt;" in page
    assert "<script" not in page


def test_a_folder_without_a_finished_run_is_named(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run of an evaluation that has ended"):
        read_run(tmp_path)
    (folders[0] / "summary.json").write_text("{}")
    with pytest.raises(RunError, match="suite: Field required"):
        read_run(folders[0])


def test_runs_that_share_no_problem_are_named(folders: list[Path], tmp_path: Path) -> None:
    other = run(tmp_path / "other", "gsm8k", "search", [record("c", "1", True, 1)])
    with pytest.raises(RunError, match="share no problem"):
        write([read_run(folders[0]), read_run(other)], tmp_path / "report")


def test_runs_on_different_suites_are_not_compared(folders: list[Path], tmp_path: Path) -> None:
    other = run(tmp_path / "other", "amc23", "greedy", [record("c", "1", True, 1)])
    page = write([read_run(folders[0]), read_run(other)], tmp_path / "report").read_text()
    assert "McNemar" not in page
