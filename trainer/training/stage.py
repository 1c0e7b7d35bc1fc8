"""A training as a stage of a round: done once, gone on with where it was broken off.

`manifest.json` is written last, so where it lies, the stage is done. `inputs.json` is written
first, and tells whether what lies in the folder was made from the same inputs and settings.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.common.models.folder import hash_file
from services.common.models.manifest import FILE_NAME
from trainer.training.settings import BadSettings, TrainingSettings

INPUTS = "inputs.json"
MANIFEST = "manifest.json"
MODEL = "model"
ADAPTER = "adapter"
CHECKPOINTS = "checkpoints"
CURVES = "curves.json"
EVENTS = "events"
_STATE = "trainer_state.json"
# Where they lie may change between two runs, and how they are watched; what they hold may not.
_PLACES = frozenset({"data", "base", "output", "report_to", "log_steps"})


class StageManifest(BaseModel):
    """What a training was made from, and what came of it.

    Attributes:
        stage: `policy` or `ppm`.
        inputs: SHA-256 of each file of data, and of the base model, by what it is.
        settings: all of them.
        rows: how many rows were trained on, held out and left out, and why.
        metrics: measured on the held-out rows with the written model.
        scale: of a PPM's tanh(logit / scale); None for a policy.
        model: the written model's folder, relative to the stage's.
        seconds: spent on training in the run that finished it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    stage: str
    inputs: dict[str, str]
    settings: dict[str, Any]
    rows: dict[str, int]
    metrics: dict[str, Any]
    scale: float | None = None
    model: str = MODEL
    seconds: float

    @property
    def numbers(self) -> dict[str, float]:
        """The metrics that are single numbers, as a model's manifest takes them."""
        return {k: float(v) for k, v in self.metrics.items() if isinstance(v, int | float)}


class Stage:
    """The folder of one training.

    Attributes:
        folder: holds everything that the training writes.
    """

    def __init__(self, name: str, settings: TrainingSettings) -> None:
        self.name = name
        self.folder = settings.output
        self._settings = settings
        self._inputs: dict[str, str] | None = None
        self._began = time.monotonic()

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of the inputs; computed once."""
        if self._inputs is None:
            hashes = [hash_file(path) for path in self._settings.data]
            self._inputs = {f"data.{place}": digest for place, digest in enumerate(hashes)}
            self._inputs["base"] = hash_model(self._settings.base)
        return self._inputs

    def done(self) -> StageManifest | None:
        """What came of it, if it is finished; raises BadSettings as `open` does."""
        path = self.folder / MANIFEST
        if not path.is_file():
            return None
        self._check()
        return StageManifest.model_validate_json(path.read_bytes())

    def open(self) -> None:
        """Begin, or go on.

        Raises:
            BadSettings: the folder holds a training from other inputs or settings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / INPUTS).is_file():
            self._check()
            return
        write_json(self.folder / INPUTS, self._identity())

    def checkpoint(self) -> Path | None:
        """The last whole checkpoint; the trainer writes its state file last."""
        found = (self.folder / CHECKPOINTS).glob(f"checkpoint-*/{_STATE}")
        steps = {int(path.parent.name.removeprefix("checkpoint-")): path.parent for path in found}
        return steps[max(steps)] if steps else None

    def finish(
        self, rows: Mapping[str, int], metrics: Mapping[str, Any], scale: float | None = None
    ) -> StageManifest:
        """Write the manifest: the stage is done."""
        manifest = StageManifest(
            stage=self.name,
            inputs=self.inputs,
            settings=self._settings.model_dump(mode="json"),
            rows=dict(rows),
            metrics=dict(metrics),
            scale=scale,
            seconds=round(time.monotonic() - self._began, 3),
        )
        write_json(self.folder / MANIFEST, manifest.model_dump(mode="json"))
        return manifest

    def _identity(self) -> dict[str, Any]:
        settings = self._settings.model_dump(mode="json", exclude=set(_PLACES))
        return {"stage": self.name, "inputs": self.inputs, "settings": settings}

    def _check(self) -> None:
        try:
            found = json.loads((self.folder / INPUTS).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise BadSettings(f"{self.folder / INPUTS}: {error}") from error
        differing = list(_differences(found, self._identity()))
        if differing:
            raise BadSettings(
                f"{self.folder} holds a training that differs in {', '.join(differing)}: "
                "take another output, or remove it"
            )


def hash_model(folder: Path) -> str:
    """A hash of a model's files; of a published one's manifest, which has theirs.

    Raises:
        BadSettings: there is no such folder, or no model in it.
    """
    if (folder / FILE_NAME).is_file():
        return hash_file(folder / FILE_NAME)
    files = sorted(path for path in folder.glob("*") if path.is_file())
    if not any(path.suffix == ".safetensors" for path in files):
        raise BadSettings(f"base: {folder} holds no safetensors")
    content = "".join(f"{path.name} {hash_file(path)}\n" for path in files)
    return hashlib.sha256(content.encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a file that appears whole."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _differences(one: Any, other: Any, name: str = "") -> Iterable[str]:
    """Names of the fields in which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from _differences(one.get(key), other.get(key), f"{name}.{key}".lstrip("."))
    elif one != other:
        yield name
