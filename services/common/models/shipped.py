"""PPMs that come with the code as score heads, and go into the store on first use."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.common.models import head as heads
from services.common.models.errors import ModelError, ModelExists, ModelNotFound
from services.common.models.folder import hash_file, staging
from services.common.models.head import ScoreHead
from services.common.models.manifest import Source
from services.common.models.store import ModelStore, StoredModel
from services.common.models.weights import BadFile

FOLDER: Final = Path(__file__).parent / "heads"


def shipped(folder: Path = FOLDER) -> Iterator[ScoreHead]:
    """The heads in a folder, by name. BadFile where one cannot be read."""
    for recipe in sorted(folder.glob(f"*/{heads.RECIPE}")):
        yield heads.read(recipe.parent)


def head_of(policy: str, folder: Path = FOLDER) -> ScoreHead | None:
    """The head that was trained on a policy's layers; None where there is none."""
    return next((head for head in shipped(folder) if head.recipe.base == policy), None)


def bring(store: ModelStore, head: ScoreHead) -> StoredModel:
    """The PPM from the store, put there first if it is missing.

    Args:
        store: a folder that holds the head's base.
        head: of the PPM.

    Raises:
        ModelError: the base is missing or another one, or what the store has of this name is not
            this PPM.
    """
    recipe = head.recipe
    source = Source(
        uri=f"head://{recipe.version}",
        sha256=hash_file(head.score.path),
        size=head.score.path.stat().st_size,
    )
    if stored := _stored(store, recipe.version, source):
        return stored
    base = store.open("policy", recipe.base, verify=False)
    made_from = base.manifest.source
    if made_from is None or made_from.sha256 != recipe.base_source:
        raise ModelError(f"{recipe.version}: {recipe.base!r} in the store is another model")
    with staging(store.path("ppm", recipe.version)) as folder:
        try:
            heads.assemble(head, base.path, folder / "model")
            return store.publish(
                "ppm",
                recipe.version,
                folder / "model",
                licence=recipe.licence,
                base=base.manifest.base,
                parent=recipe.base,
                scale=recipe.scale,
                source=source,
                data=recipe.data,
                metrics=recipe.metrics,
                move=True,
            )
        except BadFile as bad:
            raise ModelError(f"{recipe.version}: {bad}") from None
        except ModelExists:
            # Another process was quicker.
            return store.open("ppm", recipe.version, verify=False)


def _stored(store: ModelStore, version: str, source: Source) -> StoredModel | None:
    try:
        stored = store.open("ppm", version, verify=False)
    except ModelNotFound:
        return None
    if stored.manifest.source != source:
        raise ModelError(
            f"ppm {version!r} in the store is not the one that comes with this release: remove it "
            f"({stored.path}), and it is made anew"
        )
    return stored
