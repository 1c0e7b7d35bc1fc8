"""A stage of a round: done once. What came of it is written last, with the hash of its inputs."""

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.training.stage import write_json


class BadStage(ValueError):  # noqa: N818 - says what is wrong
    """A stage's folder that holds something else than is asked for; the message says what."""


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inputs: str
    seconds: float
    result: dict[str, Any]


Result = TypeVar("Result", bound=BaseModel)


async def once(
    path: Path,
    kind: type[Result],
    inputs: Mapping[str, Any],
    work: Callable[[], Awaitable[Result]],
) -> tuple[Result, float]:
    """What a stage gives, and the seconds of the run that finished it; done only if it is not yet.

    Args:
        path: the stage's manifest.
        kind: of its result.
        inputs: all that the result depends on, as JSON.
        work: does it, going on by itself where an earlier run was killed.

    Raises:
        BadStage: the manifest is of other inputs, or cannot be read.
    """
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    if found := _read(path, kind, digest):
        return found
    begun = time.monotonic()
    result = await work()
    seconds = round(time.monotonic() - begun, 3)
    _write(path, digest, seconds, result)
    return result, seconds


def _write(path: Path, digest: str, seconds: float, result: BaseModel) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _Manifest(inputs=digest, seconds=seconds, result=result.model_dump(mode="json"))
    write_json(path, content.model_dump(mode="json"))


def _read(path: Path, kind: type[Result], digest: str) -> tuple[Result, float] | None:
    if not path.is_file():
        return None
    try:
        found = _Manifest.model_validate_json(path.read_bytes())
        result = kind.model_validate(found.result)
    except (OSError, ValidationError) as error:
        raise BadStage(f"{path}: {error}") from error
    if found.inputs != digest:
        raise BadStage(
            f"{path} was made with another configuration, or from other data: take another "
            "folder, or remove it and what follows from it"
        )
    return result, found.seconds
