"""The two trainings of a round, each a process of its own, and their publishing."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from services.common.models.errors import ModelNotFound
from services.common.models.folder import describe, hash_file
from services.common.models.manifest import Data
from services.common.models.store import ModelStore
from trainer.rounds import tied
from trainer.rounds.results import Trained
from trainer.training.stage import MANIFEST, MODEL, StageManifest, write_json

Kind = Literal["policy", "ppm"]
_STOP_SECONDS: Final = 30.0
_BAD_INPUT: Final = 2


class TrainingFailed(Exception):  # noqa: N818 - what happened
    """A training ended without a model; the message names its log."""


async def train(
    kind: Kind,
    settings: Mapping[str, Any],
    data: Path,
    base: Path,
    output: Path,
    processes: int = 1,
) -> StageManifest:
    """Train, or go on: the manifest of the training.

    A process of its own gives its memory back, and cannot take the round with it.

    Args:
        kind: which of the two.
        settings: fields of its settings, but for places.
        data, base, output: rows, the model that it starts from, and its folder.
        processes: that train together, under torchrun where they are several.

    Raises:
        TrainingFailed: it ended without a model.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    file, log = (output.with_name(f"{kind}-training.{end}") for end in ("json", "log"))
    places = {"data": [str(data)], "base": str(base), "output": str(output)}
    write_json(file, {**settings, **places})
    together = ("torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m")
    launcher = together if processes > 1 else ()
    module = (*launcher, f"trainer.training.{kind}")
    code = await _run([sys.executable, "-m", *module, "--config", str(file)], log)
    if code or not (output / MANIFEST).is_file():
        why = "data or settings are at fault" if code == _BAD_INPUT else f"exit status {code}"
        raise TrainingFailed(f"the training of the {kind} ended ({why}): see {log}")
    return StageManifest.model_validate_json((output / MANIFEST).read_bytes())


async def _run(command: Sequence[str], log: Path) -> int:
    """A command to its end, or to the caller's, even a killed one's; its exit status."""
    launcher = (sys.executable, "-m", tied.__name__, str(os.getpid()))
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *launcher, *command, stdout=file, stderr=file
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), _STOP_SECONDS)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def publish(
    store: ModelStore,
    kind: Kind,
    version: str,
    folder: Path,
    manifest: StageManifest,
    *,
    data: Path,
    number: int,
    licence: str,
    base: str,
) -> Trained:
    """Put a round's model into the store; the one that is there already, if it is the same.

    Args:
        store: where it goes.
        kind, version: as what.
        folder: of the training.
        manifest: of the training.
        data: rows that it was trained on.
        number: of the round.
        licence, base: for the version's manifest.

    Raises:
        ModelError: the name is another model's, or the folder is refused.
    """
    made_from = Data(uri=data.name, sha256=hash_file(data))
    if not _is_there(store, kind, version, folder / MODEL, manifest.scale):
        store.publish(
            kind,
            version,
            folder / MODEL,
            licence=licence,
            base=base,
            round=number,
            prompt_style="bare" if kind == "policy" else None,
            scale=manifest.scale,
            data=made_from,
            metrics=manifest.numbers,
        )
    return Trained(
        version=version,
        rows=manifest.rows,
        metrics=manifest.numbers,
        reliability=_reliability(manifest),
    )


def _is_there(
    store: ModelStore, kind: Kind, version: str, model: Path, scale: float | None
) -> bool:
    """Whether the name is this very model's; another's is refused by `publish`."""
    try:
        found = store.manifest(kind, version)
    except ModelNotFound:
        return False
    return found.scale == scale and found.files == describe(model)


def _reliability(manifest: StageManifest) -> list[tuple[float, float, int]]:
    """Bins of the calibration table, where the training has made one."""
    return [
        (float(row["expected"]), float(row["right"]), int(row["solutions"]))
        for row in manifest.metrics.get("calibration", [])
    ]
