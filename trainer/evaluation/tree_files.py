"""The trees of a run's searches, a compressed file for each problem.

They are kept beside the records, not in them: a summary or a comparison reads every record, and the
trees are a hundred times as large.
"""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from trainer.evaluation.records import Record, RunError
from trainer.found_tree import FoundTree
from trainer.trees import TreeNode

FOLDER = "trees"


class _Tree(BaseModel):
    """One tree as it is kept."""

    root_q: float
    root_visits: int
    nodes: list[TreeNode]


class _Trees(BaseModel):
    """All trees of one search."""

    trees: list[_Tree]


class TreeFiles:
    """The trees in a run's folder."""

    def __init__(self, run: Path) -> None:
        """`run`: the run's folder; nothing is touched before a tree is kept."""
        self._folder = run / FOLDER

    def write(self, record: Record, trees: Sequence[FoundTree]) -> None:
        """Keep the trees of a record's search, whole or not at all; RunError where that fails.

        To be called before the record is kept, so that no record is without its trees.
        """
        kept = [
            {
                "root_q": tree.root_q,
                "root_visits": tree.root_visits,
                # What a node does not say is its default; that the policy is the record's, too.
                "nodes": [
                    node.model_dump(exclude_defaults=True, exclude={"policy"})
                    for node in tree.nodes
                ],
            }
            for tree in trees
        ]
        text = json.dumps({"trees": kept}, ensure_ascii=False, separators=(",", ":"))
        path = self._path(record)
        try:
            self._folder.mkdir(exist_ok=True)
            temporary = path.with_suffix(".new")
            with temporary.open("wb") as file:
                file.write(gzip.compress(text.encode(), mtime=0))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise RunError(f"{path}: {error}") from error

    def read(self, record: Record) -> list[FoundTree]:
        """The trees of a record's search; none where none were kept. RunError: unreadable."""
        path = self._path(record)
        try:
            kept = _Trees.model_validate_json(gzip.decompress(path.read_bytes()))
        except FileNotFoundError:
            return []
        except (OSError, EOFError, zlib.error, ValidationError) as error:
            raise RunError(f"{path}: not the trees of a search ({error})") from error
        return [FoundTree(tree.nodes, tree.root_q, tree.root_visits) for tree in kept.trees]

    def _path(self, record: Record) -> Path:
        # Ids of problems may hold anything that a file's name may not.
        name = hashlib.sha256(f"{record.id}\n{record.search_id}".encode()).hexdigest()[:24]
        return self._folder / f"{name}.json.gz"
