import random
from pathlib import Path
from typing import Any

import pytest

from rstar.bench.harvest_workers import scripted_tree
from tests.support.harvests import begin
from trainer.found_tree import FoundTree
from trainer.harvest import parts
from trainer.harvest.dataset import searched
from trainer.harvest.parts import DamagedPart
from trainer.harvest.rows import FIELDS, rows
from trainer.harvest.run import HarvestFolder
from trainer.harvest.searched import Found
from trainer.harvest.summary import summarise
from trainer.trees import TreeNode


def found(seed: int, trees: int = 1) -> Found:
    grown = [FoundTree(scripted_tree(random.Random(seed + i), 12), 0.25, 9) for i in range(trees)]
    return Found(
        search=f"s{seed}", trees=grown, policy="policy-1", ppm="ppm-1", stop_reason="rollouts"
    )


def publish(folder: HarvestFolder, *searches: tuple[int, Found, str | None]) -> Path:
    """A part of these items, published."""
    made = [rows(folder.item(number), 3, one, failure) for number, one, failure in searches]
    name = parts.stage(folder, made)
    parts.publish(folder, name)
    return folder.parts / name


@pytest.fixture
def folder(tmp_path: Path) -> HarvestFolder:
    """Two problems of two seeds each: p0 has items 0 and 1, p1 has 2 and 3."""
    return begin(tmp_path, 2, seeds=2)


def test_trees_come_back_as_they_were(folder: HarvestFolder) -> None:
    first, second = found(1), found(2, trees=2)
    publish(folder, (1, second, None))
    publish(folder, (0, first, None))
    (problem,) = searched([folder.path])
    assert (problem.id, problem.question) == ("p0", "Question 0?")
    expected = [*first.trees, *second.trees]
    assert len(problem.trees) == 3
    for tree, one in zip(problem.trees, expected, strict=True):
        assert tree.nodes == {node.id: node for node in one.nodes}


def test_problems_of_several_harvests_are_joined(folder: HarvestFolder, tmp_path: Path) -> None:
    other = begin(tmp_path / "other", 1)
    publish(folder, (0, found(1), None), (2, found(2), None))
    publish(other, (0, found(3), None))
    sizes = {one.id: len(one.trees) for one in searched([folder.path, other.path])}
    assert sizes == {"p0": 2, "p1": 1}


def test_failed_searches_are_left_out_and_counted(folder: HarvestFolder) -> None:
    publish(folder, (0, Found(), "refused"), (1, found(1), None), (2, Found(), "refused"))
    assert [len(one.trees) for one in searched([folder.path])] == [1]
    summary = summarise(folder)
    assert (summary.items, summary.done, summary.failed) == (4, 3, 2)
    assert (summary.problems, summary.nodes) == (2, len(found(1).trees[0].nodes))
    assert summary.versions == ["policy-1 ppm-1"]


def test_an_item_in_two_parts_is_refused(folder: HarvestFolder) -> None:
    publish(folder, (0, found(1), None))
    publish(folder, (0, found(1), None))
    with pytest.raises(DamagedPart, match="item"):
        list(searched([folder.path]))
    with pytest.raises(DamagedPart, match="two parts"):
        summarise(folder)


def test_a_part_that_is_cut_short_is_named(folder: HarvestFolder) -> None:
    path = publish(folder, (0, found(1), None))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedPart, match=path.name):
        list(searched([folder.path]))


def test_the_root_and_what_it_stands_for(folder: HarvestFolder) -> None:
    made = rows(folder.item(0), 3, found(1))
    roots = [row for row in made if row["parent"] is None]
    assert len(roots) == 1
    assert (roots[0]["node"], roots[0]["q"], roots[0]["visits"]) == ("root", 0.25, 9)
    assert made[0] is roots[0]
    assert set(made[0]) == set(FIELDS)


def test_what_follows_the_end_of_the_code_is_no_code(folder: HarvestFolder) -> None:
    last = TreeNode(
        id="a", parent="root", text="# Step 1: x\nprint(1)", outcome="open", ends_code=True
    )
    answer = TreeNode(id="b", parent="a", text="It is 1.", outcome="terminal", answer="1")
    made = rows(folder.item(0), 3, Found(trees=[FoundTree([last, answer])]))
    assert {row["node"]: row["code"] for row in made} == {"root": "", "a": "print(1)", "b": ""}
    assert {row["node"]: row["depth"] for row in made} == {"root": 0, "a": 1, "b": 2}


def _pandas(path: Path) -> list[dict[str, Any]]:
    import pandas

    table = pandas.read_parquet(path).astype(object)
    records: list[dict[str, Any]] = table.where(table.notna(), None).to_dict("records")
    return records


def _polars(path: Path) -> list[dict[str, Any]]:
    import polars

    return polars.read_parquet(path / "*.parquet").to_dicts()


def _datasets(path: Path) -> list[dict[str, Any]]:
    import datasets

    files = [str(one) for one in sorted(path.glob("*.parquet"))]
    cache = path.parent / "cache"
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(cache))
    return list(loaded)


@pytest.mark.parametrize("read", [_pandas, _polars, _datasets])
def test_others_read_the_parts(folder: HarvestFolder, read: Any) -> None:
    publish(folder, (0, found(1), None))
    publish(folder, (1, found(2), None), (2, Found(), "refused"))
    expected = [
        *rows(folder.item(0), 3, found(1)),
        *rows(folder.item(1), 3, found(2)),
        *rows(folder.item(2), 3, Found(), "refused"),
    ]

    def key(row: dict[str, Any]) -> tuple[int, str]:
        return row["item"], row["node"]

    assert sorted(read(folder.parts), key=key) == sorted(expected, key=key)
