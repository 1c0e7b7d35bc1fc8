"""Write tensors as bf16 safetensors, one piece at a time, without holding the model in memory."""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_ALIGNMENT = 8


def write(
    path: Path, shapes: Mapping[str, tuple[int, ...]], values: Iterable[Iterable[Floats]]
) -> None:
    """Write a safetensors file.

    Args:
        path: the file.
        shapes: of every tensor, by name, in the order of `values`.
        values: each tensor's numbers in row-major order, in any number of float32 pieces.

    Raises:
        ValueError: a tensor has more or fewer numbers than its shape says.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for (name, shape), pieces in zip(shapes.items(), values, strict=True):
            written = sum(file.write(encode(piece).tobytes()) for piece in pieces)
            if written != 2 * math.prod(shape):
                raise ValueError(f"{name}: {written // 2} numbers for shape {shape}")


def encode(values: Floats) -> NDArray[np.uint16]:
    """The bits of the nearest bf16 numbers, ties to even, as little-endian; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    quiet = (bits >> 16) | 0x40
    return np.where(np.isnan(values), quiet, rounded).astype("<u2")
