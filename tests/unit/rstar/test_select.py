"""Rows for training out of a harvest's folder, by the command."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rstar.main import app
from tests.support.harvests import begin
from trainer.found_tree import FoundTree
from trainer.harvest import parts
from trainer.harvest.rows import rows
from trainer.harvest.searched import Found
from trainer.training.data import PairGroup, SolutionRow
from trainer.training.files import read
from trainer.trees import TreeNode

RUNNER = CliRunner()


def tree(answers: list[str]) -> FoundTree:
    """A first step, and a last one for each answer; 7 is right."""
    first = TreeNode(id="a", parent="root", text="# Step 1: x\nx = 7", outcome="open")
    lasts = [
        TreeNode(
            id=f"a{place}",
            parent="a",
            text=f"# Step 2: {place}\nprint({answer})",
            outcome="terminal",
            ends_code=True,
            output=f"{answer}\n",
            answer=answer,
            correct=answer == "7",
            q=0.5 if answer == "7" else -0.5,
        )
        for place, answer in enumerate(answers)
    ]
    return FoundTree([first, *lasts])


@pytest.fixture
def harvest(tmp_path: Path) -> Path:
    """Two problems; the second has nothing right."""
    folder = begin(tmp_path / "harvest", 2)
    for item, answers in enumerate((["7", "7", "7", "8", "9", "10"], ["1", "2"])):
        name = parts.stage(folder, [rows(folder.item(item), 1, Found(trees=[tree(answers)]))])
        parts.publish(folder, name)
    return folder.path


def chosen(harvest: Path, out: Path, *more: str) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["select", str(harvest), "--out", str(out), *more])
    return result.exit_code, result.output


def test_solutions_and_pairs_are_written_and_counted(harvest: Path, tmp_path: Path) -> None:
    code, text = chosen(harvest, tmp_path / "out")
    assert code == 0, text
    assert "1 solutions, 1 groups with pairs: 4 of solutions" in text
    assert "dropped, solutions: written before: 2" in text
    assert "dropped, solutions: wrong answer: 5" in text
    assert "dropped, pairs: problem: all wrong: 1" in text
    assert len(list(read(tmp_path / "out" / "solutions.parquet", SolutionRow))) == 1
    (group,) = read(tmp_path / "out" / "groups.parquet", PairGroup)
    assert len(group.pairs) == 4


def test_rules_are_those_that_are_given(harvest: Path, tmp_path: Path) -> None:
    rules = ("--pairs", "per_side=3,last_steps=true", "--solutions", "per_problem=1", "--json")
    code, text = chosen(harvest, tmp_path / "out", *rules)
    assert code == 0, text
    found = json.loads(text)
    assert (found["solutions"], found["pairs"]) == (1, {"solution": 9, "step": 9})


@pytest.mark.parametrize(
    ("option", "word", "fault"),
    [
        ("--pairs", "per_side=0", "at least 1"),
        ("--pairs", "side=2", "side"),
        ("--solutions", "per_problem", "NAME=NUMBER"),
        ("--solutions", "per_problem=two", "NAME=NUMBER"),
    ],
)
def test_a_wrong_rule_is_named(
    harvest: Path, tmp_path: Path, option: str, word: str, fault: str
) -> None:
    code, text = chosen(harvest, tmp_path / "out", option, word)
    assert code == 2
    assert fault in text
    assert not (tmp_path / "out").exists()


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    begin(tmp_path / "harvest", 1)
    code, text = chosen(tmp_path / "harvest", tmp_path / "out")
    assert code == 2
    assert "0 problems gave 0 solutions" in text
