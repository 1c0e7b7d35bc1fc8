from pathlib import Path

import pytest

from trainer.evaluation.records import Record, RunError
from trainer.evaluation.tree_files import FOLDER, TreeFiles
from trainer.found_tree import FoundTree
from trainer.trees import ROOT_ID, TreeNode

RECORD = Record(
    id="../of/an odd name",
    problem_digest="d",
    gold="1",
    seed=1,
    search_id="s-1",
    grader="g",
    settings_digest="s",
)
NODES = [
    TreeNode(id="a", parent=ROOT_ID, text="x = 1", outcome="open", q=0.25, visits=3),
    TreeNode(id="b", parent="a", text="print('∞')", outcome="terminal", answer="1", correct=True),
    TreeNode(id="c", parent="a", text="y", outcome="failed", error="NameError: y", ppm_score=0.0),
]
TREES = [FoundTree(NODES, 0.5, 4), FoundTree()]


def test_trees_come_back_as_they_were(tmp_path: Path) -> None:
    files = TreeFiles(tmp_path)
    files.write(RECORD, TREES)
    found = files.read(RECORD)
    assert [(list(t.nodes), t.root_q, t.root_visits) for t in found] == [
        (NODES, 0.5, 4),
        ([], 0.0, 0),
    ]
    (path,) = (tmp_path / FOLDER).iterdir()
    assert path.parent == tmp_path / FOLDER


def test_the_trees_of_another_search_of_the_problem_are_others(tmp_path: Path) -> None:
    files = TreeFiles(tmp_path)
    files.write(RECORD, TREES)
    assert files.read(RECORD.model_copy(update={"search_id": "s-2"})) == []


def test_a_hundred_alike_steps_take_little_room(tmp_path: Path) -> None:
    step = "# Step 1: The total is the sum of both\ntotal = first + second\nprint(total)"
    nodes = [
        TreeNode(id=f"{n:032x}", parent=ROOT_ID, text=step, outcome="failed", error="NameError")
        for n in range(100)
    ]
    files = TreeFiles(tmp_path)
    files.write(RECORD, [FoundTree(nodes)])
    (path,) = (tmp_path / FOLDER).iterdir()
    assert path.stat().st_size < 2_000


@pytest.mark.parametrize("damage", [b"", b"not gzip", None])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    files = TreeFiles(tmp_path)
    files.write(RECORD, TREES)
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    with pytest.raises(RunError, match="not the trees of a search"):
        files.read(RECORD)
