"""Reads harvests back: problems with the trees of their searches."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.harvest.parts import DamagedPart, published
from trainer.harvest.rows import trees
from trainer.harvest.run import HarvestFolder
from trainer.selection.searched import Searched
from trainer.trees import SearchTree

_ROOT_COLUMNS = ["problem", "parent", "tree"]

SearchKey = tuple[str, int]
"""Folder and item."""


def searched(folders: Sequence[Path]) -> Iterator[Searched]:
    """The problems of harvests, each once, with the trees of all its searches.

    A problem comes as soon as its last search has been read; what is held meanwhile is bounded by
    the problems whose searches lie far apart. Searches that gave nothing are left out, and so is a
    problem that has no other. Problems of several harvests are the same where their ids are.

    Raises:
        BadRun: a folder is no harvest.
        DamagedPart: a part cannot be read.
    """
    paths = [path for folder in folders for path in published(HarvestFolder(folder))]
    expected = _expected(paths)
    held: dict[str, list[tuple[str, list[Mapping[str, Any]]]]] = {}
    seen: set[SearchKey] = set()
    for path in paths:
        for item, rows in _searches(path):
            key = (str(path.parent), item)
            if key in seen:
                # Cannot be, as far as parts.py is right; a tree counted twice would not be noticed.
                raise DamagedPart(f"{path}: item {item} is in another part too")
            seen.add(key)
            problem = rows[0]["problem"]
            held.setdefault(problem, []).append((rows[0]["question"], rows))
            if len(held[problem]) == expected[problem]:
                whole = _problem(problem, held.pop(problem))
                if whole is not None:
                    yield whole


def _problem(
    identity: str, searches: Sequence[tuple[str, list[Mapping[str, Any]]]]
) -> Searched | None:
    ordered = sorted((rows for _, rows in searches), key=_place)
    grown = [
        SearchTree(nodes) for rows in ordered if rows[0]["failure"] is None for nodes in trees(rows)
    ]
    return Searched(identity, searches[0][0], grown) if grown else None


def _place(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Round and item of a search: the order of a problem's trees, whatever that of the parts."""
    return rows[0]["round"], rows[0]["item"]


def _expected(paths: Sequence[Path]) -> Counter[str]:
    """Searches of each problem."""
    counts: Counter[str] = Counter()
    for path in paths:
        table = _read(path, _ROOT_COLUMNS)
        counts.update(
            row["problem"]
            for row in table.to_pylist()
            if row["parent"] is None and row["tree"] == 0
        )
    return counts


def _searches(path: Path) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
    """The searches of a part, in which the rows of each stand together, its root first."""
    item = -1
    rows: list[Mapping[str, Any]] = []
    for row in _read(path).to_pylist():
        if row["item"] != item and rows:
            yield item, rows
            rows = []
        item = row["item"]
        rows.append(row)
    if rows:
        yield item, rows


def _read(path: Path, columns: list[str] | None = None) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path, columns=columns)
    except (OSError, pyarrow.ArrowException) as error:
        raise DamagedPart(f"{path}: {error}") from error
