"""Folders shaped like served models, of a few bytes."""

import json
import struct
from pathlib import Path

ARCHITECTURES = {"policy": "LlamaForCausalLM", "ppm": "LlamaForSequenceClassification"}


def safetensors(numbers: bytes = b"\x00\x01\x02\x03") -> bytes:
    """A safetensors file of one small tensor."""
    entry = {"dtype": "BF16", "shape": [len(numbers) // 2], "data_offsets": [0, len(numbers)]}
    header = json.dumps({"weight": entry}).encode()
    return struct.pack("<Q", len(header)) + header + numbers


def make_folder(folder: Path, kind: str = "policy", numbers: bytes = b"\x00\x01\x02\x03") -> Path:
    """Write config, tokenizer and weights; enough for the store, not for an engine."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {"architectures": [ARCHITECTURES[kind]], "model_type": "llama"}
    if kind == "ppm":
        config["id2label"] = {"0": "LABEL_0"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors(numbers))
    return folder
