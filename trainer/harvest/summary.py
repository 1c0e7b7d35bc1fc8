"""What came of a harvest, from its parts alone."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from trainer.harvest.parts import DamagedPart, published
from trainer.harvest.run import HarvestFolder, write_whole

SUMMARY_FILE = "summary.json"
_COLUMNS = [
    "item",
    "problem",
    "level",
    "parent",
    "tree",
    "failure",
    "policy",
    "ppm",
    "tokens",
    "correct",
]


class LevelSummary(BaseModel):
    """The problems of one level.

    Attributes:
        problems: how many.
        solved: those with a right solution in any of their trees (the paper's table 2: coverage).
    """

    problems: int
    solved: int


class HarvestSummary(BaseModel):
    """A harvest at a glance.

    Attributes:
        items: searches that were asked for.
        done: searches in the parts.
        failed: those among them that gave no result.
        problems, solved: problems, and those with a right solution.
        levels: by level of the problem.
        nodes: of all trees, roots not counted.
        tokens: new tokens of the policy in the nodes of the trees.
        versions: policies and PPMs, as `policy ppm`.
        parts, bytes: parquet files, and their size.
    """

    items: int
    done: int
    failed: int
    problems: int
    solved: int
    levels: dict[str, LevelSummary]
    nodes: int
    tokens: int
    versions: list[str]
    parts: int
    bytes: int


@dataclass(slots=True)
class _Counts:
    levels: dict[str, str] = field(default_factory=dict)
    solved: set[str] = field(default_factory=set)
    items: Counter[int] = field(default_factory=Counter)
    versions: set[str] = field(default_factory=set)
    failed: int = 0
    nodes: int = 0
    tokens: int = 0

    def add(self, row: dict[str, Any]) -> None:
        problem = row["problem"]
        if row["parent"] is None:
            if row["tree"]:
                return
            self.items[row["item"]] += 1
            self.levels[problem] = row["level"]
            self.failed += row["failure"] is not None
            if row["failure"] is None:
                self.versions.add(f"{row['policy']} {row['ppm'] or '-'}")
            return
        self.nodes += 1
        self.tokens += row["tokens"]
        if row["correct"]:
            self.solved.add(problem)


def summarise(folder: HarvestFolder) -> HarvestSummary:
    """Sum up what is published. DamagedPart where an item is in two parts, or one is unreadable."""
    import pyarrow
    from pyarrow import parquet

    counts, paths = _Counts(), published(folder)
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=_COLUMNS):
                    for row in batch.to_pylist():
                        counts.add(row)
        except (OSError, pyarrow.ArrowException) as error:
            raise DamagedPart(f"{path}: {error}") from error
    twice = [item for item, times in counts.items.items() if times > 1]
    if twice:
        raise DamagedPart(f"{folder.parts}: items in two parts: {twice[:10]}")
    problems = Counter(counts.levels.values())
    solved = Counter(counts.levels[problem] for problem in counts.solved)
    return HarvestSummary(
        items=folder.settings.items,
        done=len(counts.items),
        failed=counts.failed,
        problems=len(counts.levels),
        solved=len(counts.solved),
        levels={
            level: LevelSummary(problems=number, solved=solved[level])
            for level, number in sorted(problems.items())
        },
        nodes=counts.nodes,
        tokens=counts.tokens,
        versions=sorted(counts.versions),
        parts=len(paths),
        bytes=sum(path.stat().st_size for path in paths),
    )


def write_summary(folder: HarvestFolder) -> HarvestSummary:
    """Sum up and keep it in the folder, written last: a harvest that has it is done."""
    summary = summarise(folder)
    text = json.dumps(summary.model_dump(), indent=2) + "\n"
    write_whole(folder.path / SUMMARY_FILE, text.encode())
    return summary
