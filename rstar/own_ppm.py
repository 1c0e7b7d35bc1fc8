"""Which PPM a stack serves where its user leaves that open."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from rstar.stack import preflight
from rstar.stack.config import POLICY_MODULE, StackConfig
from services.common.models import shipped
from services.common.models.errors import ModelError
from services.common.models.head import ScoreHead
from services.common.models.store import ModelStore
from services.common.models.weights import BadFile

AUTO: Final = "auto"
NONE: Final = frozenset({"", "none"})


def with_ppm(
    config: StackConfig, note: Callable[[str], None], folder: Path = shipped.FOLDER
) -> StackConfig:
    """The configuration with a version of the store, or none, in the place of a word.

    Args:
        config: its `ppm` may be `auto` or `none`.
        note: is told why a search goes unguided, or that a PPM is being made.
        folder: of the heads that come along.
    """
    if config.ppm in NONE:
        return replace(config, ppm="")
    if config.ppm != AUTO:
        return config
    unguided = replace(config, ppm="")
    try:
        head = _head(config, folder)
        if head is None:
            return unguided
        store = ModelStore(config.store_folder)
        # Its size is not known before it is made; it is a part of its base.
        base = store.open("policy", config.model, verify=False).manifest
        if trouble := preflight.short_of_memory(unguided, further=base.size):
            note(f"searches go unguided, without the PPM {head.recipe.version}: {trouble}")
            return unguided
        return replace(config, ppm=_brought(store, head, note))
    except (ModelError, BadFile, OSError) as error:
        note(f"searches go unguided: {error}")
        return unguided


def _head(config: StackConfig, folder: Path) -> ScoreHead | None:
    own_policy = config.policy_module == POLICY_MODULE
    return shipped.head_of(config.model, folder) if own_policy else None


def _brought(store: ModelStore, head: ScoreHead, note: Callable[[str], None]) -> str:
    recipe = head.recipe
    if recipe.version not in store.versions("ppm"):
        note(f"making the PPM {recipe.version} of {recipe.base}, once")
    return shipped.bring(store, head).manifest.version
