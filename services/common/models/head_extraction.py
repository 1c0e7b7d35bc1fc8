"""The score head of a PPM that was trained on frozen layers, taken out of it to be shipped."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from services.common.models import bf16, tensors, weights
from services.common.models.head import DELIMITERS, EMBEDDING, RECIPE, SCORE, TENSORS, Recipe
from services.common.models.manifest import Manifest
from services.common.models.store import StoredModel
from services.common.models.weights import CONFIG, TOKENIZER, BadFile, Tensor

_ROWS_AT_ONCE: Final = 8192


def extract(ppm: StoredModel, base: StoredModel, version: str, target: Path) -> Recipe:
    """Write recipe and tensors of a PPM's head; see services.common.models.head.

    Args:
        ppm: trained with `method: head`, so that all below its head is the base's.
        base: the policy whose layers it has.
        version: what it shall be called.
        target: a folder, made if need be.

    Raises:
        BadFile: more than the head differs from the base.
    """
    tokens, first = _new_tokens(ppm.path, base.path)
    mine, theirs = weights.tensors(ppm.path), weights.tensors(base.path)
    if SCORE not in mine or EMBEDDING not in mine:
        raise BadFile("*.safetensors", f"no {SCORE} or no {EMBEDDING}: not a PPM of this kind")
    for name in mine.keys() - {SCORE}:
        if name not in theirs or not _same(mine[name], theirs[name], first):
            raise BadFile(
                "*.safetensors", f"{name} is not the base's: more than a head was trained"
            )
    rows = tensors.floats(mine[EMBEDDING])[first : first + len(tokens)]
    score = tensors.floats(mine[SCORE])
    recipe = _recipe(ppm.manifest, base.manifest, version, tokens, ppm.path)
    target.mkdir(parents=True, exist_ok=True)
    shapes = {SCORE: score.shape, DELIMITERS: rows.shape}
    bf16.write(target / TENSORS, shapes, ([score], [rows]))
    text = recipe.model_dump_json(indent=2, exclude_none=True) + "\n"
    (target / RECIPE).write_text(text, encoding="utf-8")
    return recipe


def _recipe(
    ppm: Manifest, base: Manifest, version: str, tokens: tuple[str, ...], folder: Path
) -> Recipe:
    if base.source is None or ppm.scale is None:
        raise BadFile("manifest.json", "the base names no source, or the PPM no scale")
    return Recipe(
        version=version,
        base=base.version,
        base_source=base.source.sha256,
        layers=weights.read_config(folder)["num_hidden_layers"],
        tokens=tokens,
        scale=ppm.scale,
        licence=ppm.licence,
        data=ppm.data,
        metrics=ppm.metrics,
    )


def _new_tokens(ppm: Path, base: Path) -> tuple[tuple[str, ...], int]:
    """The tokens that the PPM's tokenizer has besides the base's, and the id of the first."""
    mine, theirs = _vocabulary(ppm), _vocabulary(base)
    new = sorted(mine.keys() - theirs.keys(), key=lambda text: mine[text])
    first = len(theirs)
    if theirs.items() - mine.items() or [mine[text] for text in new] != [
        *range(first, first + len(new))
    ]:
        raise BadFile(TOKENIZER, "does not continue the base's")
    return tuple(new), first


def _vocabulary(folder: Path) -> dict[str, int]:
    from tokenizers import Tokenizer

    loaded: Any = Tokenizer.from_file(str(folder / TOKENIZER))
    found: dict[str, int] = loaded.get_vocab(with_added_tokens=True)
    if sorted(found.values()) != [*range(len(found))]:
        raise BadFile(TOKENIZER, f"{CONFIG} and tokenizer leave gaps among the ids")
    return found


def _same(mine: Tensor, theirs: Tensor, first: int) -> bool:
    """Whether two tensors are equal, but for the new tokens' rows of an embedding."""
    if (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
        return False
    if mine.shape[0] <= first:
        return bool(np.array_equal(tensors.raw(mine), tensors.raw(theirs)))
    one, other = (tensors.raw(each).reshape(each.shape[0], -1) for each in (mine, theirs))
    # Rows of padding are what each side made of them.
    return all(
        np.array_equal(one[start:end], other[start:end])
        for start in range(0, first, _ROWS_AT_ONCE)
        for end in [min(start + _ROWS_AT_ONCE, first)]
    )
