"""Numbers in safetensors files, a tensor at a time, without torch."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common.models.bf16 import Floats, encode
from services.common.models.weights import BadFile, Tensor

_ALIGNMENT = 8
_NUMPY: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}


def raw(tensor: Tensor) -> NDArray[np.uint8]:
    """A tensor's bytes, mapped from its file."""
    return np.memmap(
        tensor.path, np.uint8, "r", offset=tensor.start, shape=(tensor.end - tensor.start,)
    )


def floats(tensor: Tensor) -> Floats:
    """A tensor's numbers in its shape, as float32.

    Raises:
        BadFile: its type is none of BF16, F16, F32, F64.
    """
    content = raw(tensor)
    if tensor.dtype == "BF16":
        numbers = (content.view("<u2").astype(np.uint32) << 16).view(np.float32)
    elif tensor.dtype in _NUMPY:
        numbers = content.view(_NUMPY[tensor.dtype]).astype(np.float32)
    else:
        raise BadFile(tensor.path.name, f"cannot compute with numbers of type {tensor.dtype}")
    return numbers.reshape(tensor.shape)


def encoded(numbers: Floats, dtype: str) -> bytes:
    """Numbers as bytes of a safetensors type, each to the nearest."""
    if dtype == "BF16":
        return encode(numbers).tobytes()
    converted: bytes = numbers.astype(_NUMPY[dtype]).tobytes()
    return converted


def rewrite(
    source: Path,
    target: Path,
    tensors: Mapping[str, Tensor],
    change: Callable[[str], Floats | None],
) -> None:
    """Copy a safetensors file, some of its tensors with other numbers of the same shape and type.

    Args:
        source: the file.
        target: written anew.
        tensors: of the source, from its header.
        change: a tensor's new numbers by its name; None to keep it.
    """
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    ordered = sorted(tensors.items(), key=lambda item: item[1].start)
    for name, tensor in ordered:
        start, end = end, end + tensor.end - tensor.start
        fields[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with target.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in ordered:
            new = change(name)
            if new is None:
                file.write(raw(tensor).data if tensor.end > tensor.start else b"")
            elif new.shape != tensor.shape:
                raise BadFile(source.name, f"{name}: {new.shape} numbers for {tensor.shape}")
            else:
                file.write(encoded(new, tensor.dtype))
