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
    own_policy = config.policy_module == POLICY_MODULE
    head = shipped.head_of(config.model, folder) if own_policy else None
    if head is None:
        return unguided
    try:
        guided = replace(config, ppm=_brought(config, head, note))
    except ModelError as error:
        note(f"searches go unguided: {error}")
        return unguided
    if trouble := preflight.short_of_memory(guided):
        note(f"searches go unguided (--ppm {guided.ppm} insists): {trouble}")
        return unguided
    return guided


def _brought(config: StackConfig, head: ScoreHead, note: Callable[[str], None]) -> str:
    store = ModelStore(config.store_folder)
    if head.recipe.version not in store.versions("ppm"):
        note(f"making the PPM {head.recipe.version} of {config.model}, once")
    return shipped.bring(store, head).manifest.version
