"""Whether one model's weights can take another's place in a running engine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.common.models import folder as folders
from services.common.models import lora, weights

# What trainers write into config.json that says nothing about the computation.
_NOTES = frozenset({"_name_or_path", "transformers_version", "use_cache", "torch_dtype", "dtype"})


def difference(old: Path, new: Path) -> str | None:
    """Why `new` needs an engine of its own; None where its weights fit into that of `old`.

    They fit where the configuration, the tensors' names and shapes, and all files of tokenizer and
    prompt are the same: an engine keeps all of these from its start.
    """
    if fields := _differing(_config(old), _config(new)):
        return f"{weights.CONFIG}: {', '.join(fields)}"
    if names := _differing(_shapes(old), _shapes(new)):
        return f"tensors: {', '.join(names[:3])}"
    if files := _differing(_others(old), _others(new)):
        return f"files: {', '.join(files)}"
    return None


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in weights.tensors(folder).items()}


def _config(folder: Path) -> dict[str, Any]:
    fields = weights.read_config(folder)
    return {name: value for name, value in fields.items() if name not in _NOTES}


def _others(folder: Path) -> dict[str, str]:
    """Checksums of all files but weights, configuration, adapter and papers."""
    return {
        name: folders.hash_file(path)
        for name, path in folders.files(folder)
        if path.suffix not in {".safetensors", ".md"}
        and name not in {weights.CONFIG, "model.safetensors.index.json", "LICENSE"}
        and not name.startswith(f"{lora.FOLDER}/")
        and not name.startswith(".")
    }
