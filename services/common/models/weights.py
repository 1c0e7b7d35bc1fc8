"""What the folder of a served model may hold, read without loading it.

Only safetensors carry weights: a pickle runs code when it is loaded. Needs no torch.
"""

import json
import struct
from pathlib import Path
from typing import Any

from services.common.models.manifest import Kind

CONFIG = "config.json"
# What transformers and vLLM would unpickle, or import as code.
_FORBIDDEN = frozenset(
    {".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".py"}
)
_HEAD = {"policy": "ForCausalLM", "ppm": "ForSequenceClassification"}
_MAX_HEADER_BYTES = 100 * 1024 * 1024  # safetensors' own limit


class BadFile(ValueError):  # noqa: N818 - names the fault in what was given
    """A file that makes a folder unfit for serving."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name}: {fault}")
        self.name = name
        self.fault = fault


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
        BadFile: no config, weights or tokenizer; another architecture; weights cut short.
    """
    config = _config(folder / CONFIG)
    architectures = config.get("architectures") or []
    if not any(str(name).endswith(_HEAD[kind]) for name in architectures):
        raise BadFile(CONFIG, f"architectures {architectures} holds no {_HEAD[kind]} for a {kind}")
    labels = len(config.get("id2label") or {0: "", 1: ""})
    if kind == "ppm" and labels != 1:
        raise BadFile(CONFIG, f"a ppm has one label, this one {labels}")
    if not (folder / "tokenizer.json").is_file():
        raise BadFile("tokenizer.json", "missing")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise BadFile("*.safetensors", "missing: the folder holds no weights")
    for path in weights:
        _check_safetensors(path)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadFile(path.name, "missing") from None
    except ValueError as error:
        raise BadFile(path.name, f"not JSON: {error}") from None
    if not isinstance(config, dict):
        raise BadFile(path.name, "not a JSON object")
    return config


def _check_safetensors(path: Path) -> None:
    """Check that the file is as long as its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 0 < length <= min(_MAX_HEADER_BYTES, size - 8):
            raise BadFile(path.name, "not a safetensors file, or cut short")
        try:
            tensors = json.loads(file.read(length))
            ends = [int(t["data_offsets"][1]) for n, t in tensors.items() if n != "__metadata__"]
        except (ValueError, TypeError, AttributeError, LookupError):
            raise BadFile(path.name, "its safetensors header cannot be read") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise BadFile(path.name, f"{size} bytes where its header says {expected}")
