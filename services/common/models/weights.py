"""What the folder of a served model may hold, read without loading it.

Only safetensors carry weights: a pickle runs code when it is loaded. Needs no torch.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.models.manifest import Kind

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
# What transformers and vLLM would unpickle, or import as code.
_FORBIDDEN = frozenset(
    {".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".py"}
)
_HEAD = {"policy": "ForCausalLM", "ppm": "ForSequenceClassification"}
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")
_MAX_HEADER_BYTES = 100 * 1024 * 1024  # safetensors' own limit


class BadFile(ValueError):  # noqa: N818 - names the fault in what was given
    """A file that makes a folder unfit for serving."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name}: {fault}")
        self.name = name
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies.

    Attributes:
        path: the file.
        dtype: as safetensors names it, BF16 say.
        shape: its sizes, outermost first.
        start, end: its bytes in the file.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def check_name(name: str) -> None:
    """Refuse a file that could run code when the model is loaded.

    Raises:
        BadFile: it is a pickle or a module, by its suffix.
    """
    suffix = Path(name).suffix.lower()
    if suffix in _FORBIDDEN:
        raise BadFile(name, f"{suffix} files can run code when loaded; weights must be safetensors")


def check_folder(kind: Kind, folder: Path) -> None:
    """Refuse a folder that is not a plain Hugging Face model of this kind.

    Raises:
        BadFile: no config, weights or tokenizer; another architecture; code of its own; a
            vocabulary that does not fit; weights cut short.
    """
    config = read_config(folder)
    architectures = config.get("architectures") or []
    if not any(str(name).endswith(_HEAD[kind]) for name in architectures):
        raise BadFile(CONFIG, f"architectures {architectures} holds no {_HEAD[kind]} for a {kind}")
    if config.get("auto_map"):
        raise BadFile(CONFIG, "auto_map names code that would have to be run")
    labels = len(config.get("id2label") or {0: "", 1: ""})
    if kind == "ppm" and labels != 1:
        raise BadFile(CONFIG, f"a ppm has one label, this one {labels}")
    if not (folder / TOKENIZER).is_file():
        raise BadFile(TOKENIZER, "missing")
    shapes = tensors(folder)
    if not shapes:
        raise BadFile("*.safetensors", "missing: the folder holds no weights")
    _check_vocabulary(config, folder, shapes)
    head = shapes.get("score.weight")
    if kind == "ppm" and head is not None and head.shape[0] != 1:
        raise BadFile("*.safetensors", f"a ppm's head has one row, this one {head.shape[0]}")


def tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a folder's weights, by name, from the files' headers alone.

    Raises:
        BadFile: a file is no safetensors file, or is not as long as its header says.
    """
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= read_header(path)
    return found


def _check_vocabulary(
    config: Mapping[str, Any], folder: Path, shapes: Mapping[str, Tensor]
) -> None:
    """A token without a row in the embedding would read another tensor's memory, or fail late."""
    rows = config.get("vocab_size")
    for name, tensor in shapes.items():
        if name.endswith(_EMBEDDINGS):
            if rows is not None and tensor.shape[0] != rows:
                raise BadFile(CONFIG, f"vocab_size {rows} where {name} has {tensor.shape[0]} rows")
            rows = tensor.shape[0]
    largest = largest_token(folder / TOKENIZER)
    if rows is not None and largest >= rows:
        raise BadFile(TOKENIZER, f"knows token {largest}, but the model has {rows} rows for tokens")


def largest_token(path: Path) -> int:
    """The largest token id of a tokenizer.json; -1 where it names none.

    Raises:
        BadFile: it cannot be read.
    """
    fields = _json(path)
    model = fields.get("model") or {}
    vocabulary = model.get("vocab") or {}
    added = fields.get("added_tokens") or []
    try:
        own = (
            max(vocabulary.values(), default=-1)
            if isinstance(vocabulary, dict)
            else (
                len(vocabulary) - 1  # unigram: a list, in the order of ids
            )
        )
        return max(int(own), *(int(token["id"]) for token in added), -1)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise BadFile(path.name, "its vocabulary cannot be read") from None


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json; BadFile where it is missing or not a JSON object."""
    return _json(folder / CONFIG)


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadFile(path.name, "missing") from None
    except ValueError as error:
        raise BadFile(path.name, f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadFile(path.name, "not a JSON object")
    return fields


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, checked to be as long as its header says.

    Raises:
        BadFile: it is not, or is no such file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 0 < length <= min(_MAX_HEADER_BYTES, size - 8):
            raise BadFile(path.name, "not a safetensors file, or cut short")
        try:
            fields = json.loads(file.read(length))
            fields.pop("__metadata__", None)
            found = {name: _tensor(path, 8 + length, entry) for name, entry in fields.items()}
        except (ValueError, TypeError, AttributeError, LookupError):
            raise BadFile(path.name, "its safetensors header cannot be read") from None
    expected = max((tensor.end for tensor in found.values()), default=8 + length)
    if size != expected:
        raise BadFile(path.name, f"{size} bytes where its header says {expected}")
    return found


def _tensor(path: Path, begin: int, entry: Mapping[str, Any]) -> Tensor:
    start, end = entry["data_offsets"]
    shape = tuple(int(size) for size in entry["shape"])
    return Tensor(path, str(entry["dtype"]), shape, begin + int(start), begin + int(end))
