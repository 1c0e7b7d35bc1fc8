"""How far an evolution is, read off the manifests in its folder."""

import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from trainer.rounds.evolve import round_folder
from trainer.rounds.stage import BadStage

STAGES: Final = ("harvest", "select", "policy", "ppm", "evaluate", "gate")


class Progress(BaseModel):
    """A round: seconds of each stage that is done, None for one that is not."""

    round: int
    stages: dict[str, float | None]


def read_progress(folder: Path, rounds: int) -> list[Progress]:
    """All rounds; BadStage where a manifest cannot be read."""
    return [
        Progress(
            round=number,
            stages={
                name: _seconds(round_folder(folder, number) / f"{name}.json") for name in STAGES
            },
        )
        for number in range(1, rounds + 1)
    ]


def _seconds(path: Path) -> float | None:
    if not path.is_file():
        return None
    try:
        return float(json.loads(path.read_bytes())["seconds"])
    except (OSError, ValueError, KeyError) as error:
        raise BadStage(f"{path}: {error}") from error
