"""`rstar models publish`: a folder or a LoRA adapter becomes a version."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from pydantic import ValidationError

from services.common.models import lora
from services.common.models.errors import ModelDamaged, ModelError
from services.common.models.folder import hash_file
from services.common.models.manifest import Adapter, Data, Kind, PromptStyle, explain
from services.common.models.store import ModelStore, StoredModel
from services.common.models.weights import BadFile
from trainer.training import stage


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published; the fields are the manifest's, files in the place of their hashes.

    Attributes:
        folder: a Hugging Face folder; or an adapter's, whose base is then `parent`; or that of a
            training, whose manifest then says what is left unsaid.
        data: the file that it was trained on.
        metrics: an object of numbers, or a JSON file of one.
    """

    kind: Kind
    version: str
    folder: Path
    licence: str | None = None
    prompt_style: str | None = None
    scale: float | None = None
    base: str | None = None
    parent: str | None = None
    round: int | None = None
    data: Path | None = None
    metrics: Path | Mapping[str, float] | None = None


def publish(store: ModelStore, asked: Publication) -> StoredModel:
    """Publish; what an adapter leaves unsaid is its parent's.

    Raises:
        ModelError: a field breaks its rules, or the folder is refused.
    """
    asked = _trained(asked)
    if not lora.is_adapter(asked.folder):
        return _publish(store, asked, asked.folder, None)
    if asked.parent is None:
        raise ModelError(f"{asked.folder} is an adapter: --parent names the version of its base")
    parent = store.open(asked.kind, store.resolve(asked.kind, asked.parent))
    with tempfile.TemporaryDirectory(prefix="rstar-merge-") as scratch:
        merged = Path(scratch, "merged")
        try:
            config = lora.merge(parent.path, asked.folder, merged)
        except BadFile as bad:
            raise ModelDamaged(f"{asked.folder}: {bad}") from None
        adapter = Adapter(base=parent.manifest.version, rank=config.rank, alpha=config.alpha)
        return _publish(store, asked, merged, adapter, parent)


def _publish(
    store: ModelStore,
    asked: Publication,
    folder: Path,
    adapter: Adapter | None,
    parent: StoredModel | None = None,
) -> StoredModel:
    above = parent.manifest if parent else None
    licence = asked.licence or (above.licence if above else None)
    if licence is None:
        raise ModelError("--licence: an SPDX identifier is needed")
    return store.publish(
        asked.kind,
        asked.version,
        folder,
        licence=licence,
        base=asked.base or (above.base if above else None),
        parent=above.version if above else asked.parent,
        round=asked.round,
        prompt_style=_style(asked.prompt_style) or (above.prompt_style if above else None),
        scale=asked.scale or (above.scale if above else None),
        data=_data(asked.data),
        adapter=adapter,
        metrics=_metrics(asked.metrics),
        move=adapter is not None,
    )


def _trained(asked: Publication) -> Publication:
    """What is asked for, completed by the manifest of the training that `folder` may be."""
    if not (asked.folder / stage.INPUTS).is_file():
        return asked
    try:
        manifest = stage.StageManifest.model_validate_json(
            (asked.folder / stage.MANIFEST).read_bytes()
        )
    except FileNotFoundError:
        raise ModelError(f"{asked.folder}: the training is not done") from None
    except ValidationError as error:
        raise ModelError(f"{asked.folder / stage.MANIFEST}: {explain(error)}") from None
    if manifest.stage != asked.kind:
        raise ModelError(f"{asked.folder}: the training of a {manifest.stage}, not a {asked.kind}")
    return replace(
        asked,
        folder=asked.folder / manifest.model,
        scale=asked.scale or manifest.scale,
        metrics=asked.metrics or manifest.numbers,
    )


def _style(name: str | None) -> PromptStyle | None:
    if name is not None and name not in get_args(PromptStyle):
        raise ModelError(f"--prompt-style {name!r}: must be {' or '.join(get_args(PromptStyle))}")
    return cast("PromptStyle | None", name)


def _data(path: Path | None) -> Data | None:
    return None if path is None else Data(uri=path.name, sha256=hash_file(path))


def _metrics(given: Path | Mapping[str, float] | None) -> dict[str, float] | None:
    if not isinstance(given, Path):
        return None if given is None else dict(given)
    fields = json.loads(given.read_text("utf-8"))
    if not isinstance(fields, dict) or not all(
        isinstance(value, int | float) for value in fields.values()
    ):
        raise ModelError(f"{given}: must be a JSON object of numbers")
    return {str(name): float(value) for name, value in fields.items()}
