"""A PPM that is a base model's first layers and a score head: shipped as the head alone.

The layers are the base's own, which is there already, so what is shipped is a few kilobytes: the
head, the rows of the grammar's delimiters in the embedding, and a recipe. `assemble` makes a plain
Hugging Face folder of it on first use, without torch.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.common.models import bf16, tensors, weights
from services.common.models.manifest import VERSION_PATTERN, Data, Sha256, explain
from services.common.models.weights import CONFIG, TOKENIZER, BadFile, Tensor

RECIPE: Final = "head.json"
TENSORS: Final = "head.safetensors"
SCORE: Final = "score.weight"
DELIMITERS: Final = "delimiters"
"""Rows of the embedding, in the order of the recipe's tokens."""
EMBEDDING: Final = "model.embed_tokens.weight"
_LAYER = re.compile(r"^model\.layers\.(\d+)\.")
_LANGUAGE_HEAD: Final = "lm_head."
_TOKENIZER_FILES: Final = ("tokenizer_config.json", "chat_template.jinja")


class Recipe(BaseModel):
    """What a score head belongs to.

    Attributes:
        version: its name in the store.
        base: the version of a policy whose layers it reads.
        base_source: SHA-256 of what the base was made from; with another base's features the head
            means nothing.
        layers: the base's first so many.
        tokens: what its tokenizer takes for one token besides the base's.
        scale: of tanh(logit / scale).
        metrics: measured on held-out pairs when it was trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(pattern=VERSION_PATTERN)
    base: str = Field(pattern=VERSION_PATTERN)
    base_source: Sha256
    layers: int = Field(ge=1)
    tokens: tuple[Annotated[str, Field(min_length=1)], ...]
    scale: float = Field(gt=0, allow_inf_nan=False)
    licence: str = Field(min_length=1)
    data: Data | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoreHead:
    """A recipe and its two tensors: `score` 1 by H, `delimiters` tokens by H."""

    recipe: Recipe
    score: Tensor
    delimiters: Tensor


def read(folder: Path) -> ScoreHead:
    """The head in a folder.

    Raises:
        BadFile: a file is missing or not what it should be.
    """
    try:
        recipe = Recipe.model_validate_json((folder / RECIPE).read_bytes())
    except FileNotFoundError:
        raise BadFile(RECIPE, "missing") from None
    except ValidationError as error:
        raise BadFile(RECIPE, explain(error)) from None
    if not (folder / TENSORS).is_file():
        raise BadFile(TENSORS, "missing")
    found = weights.read_header(folder / TENSORS)
    try:
        head = ScoreHead(recipe, found[SCORE], found[DELIMITERS])
    except KeyError as error:
        raise BadFile(TENSORS, f"{error.args[0]} is missing") from None
    width = head.score.shape[-1]
    wanted = {SCORE: (1, width), DELIMITERS: (len(recipe.tokens), width)}
    for name, shape in wanted.items():
        if found[name].shape != shape:
            raise BadFile(TENSORS, f"{name} is {found[name].shape}, not {shape}")
    return head


def assemble(head: ScoreHead, base: Path, target: Path) -> None:
    """Write the PPM as a plain Hugging Face folder, in bfloat16.

    Args:
        head: what is added.
        base: a folder of the base.
        target: an empty or missing folder.

    Raises:
        BadFile: the two do not fit each other.
    """
    config = weights.read_config(base)
    _check(head, config)
    target.mkdir(parents=True, exist_ok=True)
    first = _tokens(head.recipe, base, target)
    if first + len(head.recipe.tokens) > config["vocab_size"]:
        raise BadFile(CONFIG, f"vocab_size {config['vocab_size']} has no room for the delimiters")
    _config(head.recipe, config, target)
    _weights(head, base, first, target)


def _check(head: ScoreHead, config: dict[str, Any]) -> None:
    layers, width = config.get("num_hidden_layers", 0), config.get("hidden_size")
    if head.recipe.layers > layers:
        raise BadFile(CONFIG, f"the base has {layers} layers, the head reads {head.recipe.layers}")
    if head.score.shape[-1] != width:
        raise BadFile(CONFIG, f"hidden_size is {width}, the head has {head.score.shape[-1]}")


def _tokens(recipe: Recipe, base: Path, target: Path) -> int:
    """Write the tokenizer; the id of the first token that is new to it."""
    from tokenizers import AddedToken, Tokenizer

    tokenizer = Tokenizer.from_file(str(base / TOKENIZER))
    first: int = tokenizer.get_vocab_size(with_added_tokens=True)
    added = tokenizer.add_tokens(
        [AddedToken(text, normalized=False, special=False) for text in recipe.tokens]
    )
    ids = [tokenizer.token_to_id(text) for text in recipe.tokens]
    if added != len(ids) or ids != list(range(first, first + added)):
        raise BadFile(TOKENIZER, f"knows some of {', '.join(recipe.tokens)} already")
    tokenizer.save(str(target / TOKENIZER))
    for name in _TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)
    return first


def _config(recipe: Recipe, base: dict[str, Any], target: Path) -> None:
    (architecture,) = base["architectures"]
    config = {
        **base,
        "architectures": [architecture.replace("ForCausalLM", "ForSequenceClassification")],
        "num_hidden_layers": recipe.layers,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }
    if config.get("layer_types"):
        config["layer_types"] = config["layer_types"][: recipe.layers]
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (target / CONFIG).write_text(text, encoding="utf-8")


def _weights(head: ScoreHead, base: Path, first: int, target: Path) -> None:
    """The layers that are kept, the delimiters' rows and the head; a tensor in memory at a time."""
    kept = {
        name: tensor for name, tensor in weights.tensors(base).items() if _stays(head.recipe, name)
    }
    if EMBEDDING not in kept:
        raise BadFile("*.safetensors", f"the base has no {EMBEDDING}")
    kept[SCORE] = head.score

    def numbers(name: str) -> list[bf16.Floats]:
        values = tensors.floats(kept[name])
        if name == EMBEDDING:
            values[first : first + len(head.recipe.tokens)] = tensors.floats(head.delimiters)
        return [values]

    shapes = {name: tensor.shape for name, tensor in kept.items()}
    bf16.write(target / "model.safetensors", shapes, (numbers(name) for name in kept))


def _stays(recipe: Recipe, name: str) -> bool:
    if name.startswith(_LANGUAGE_HEAD):
        return False
    match = _LAYER.match(name)
    return match is None or int(match[1]) < recipe.layers
