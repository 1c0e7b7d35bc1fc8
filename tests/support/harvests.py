"""Small harvests for tests."""

from pathlib import Path
from typing import Any

from trainer.harvest.run import HarvestFolder, create
from trainer.problems.problem import Problem


def problems(count: int) -> list[Problem]:
    """Numbered problems of two levels."""
    return [
        Problem(id=f"p{i}", question=f"Question {i}?", answer="7", level=("easy", "hard")[i % 2])
        for i in range(count)
    ]


def begin(path: Path, count: int, **settings: Any) -> HarvestFolder:
    """A harvest of so many problems."""
    return create(path, problems(count), **({"budget": {"rollouts": 4, "seconds": 60}} | settings))
