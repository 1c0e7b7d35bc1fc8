from pathlib import Path

import numpy as np
import pytest

from services.common.models import bf16
from services.common.models.weights import read_header


def test_rounds_as_torch_does() -> None:
    import torch

    random = np.random.default_rng(0)
    # All magnitudes, and the exact halves where rounding to even matters.
    values = random.integers(0, 2**32, size=100_000, dtype=np.uint32)
    values[::3] = (values[::3] & 0xFFFF0000) | 0x8000
    floats = values.view(np.float32)
    floats = floats[np.isfinite(floats)]
    ours = bf16.encode(floats).astype(np.int32)
    theirs = torch.tensor(floats).to(torch.bfloat16).view(torch.int16).numpy().astype(np.int32)
    assert np.array_equal(ours, theirs & 0xFFFF)


def test_keeps_infinities_and_nan() -> None:
    import torch

    odd = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], np.float32)
    decoded = torch.tensor(bf16.encode(odd).astype(np.int32)).to(torch.int16).view(torch.bfloat16)
    assert np.array_equal(decoded.float().numpy(), odd, equal_nan=True)


def test_writes_what_safetensors_reads(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    vector = np.array([0.5, -2.0, 3.0], np.float32)
    path = tmp_path / "x.safetensors"
    bf16.write(path, {"m": (3, 4), "v": (3,)}, [[matrix[:2], matrix[2:]], [vector]])
    read_header(path)
    loaded = load_file(path)
    assert np.array_equal(loaded["m"].float().numpy(), matrix)
    assert np.array_equal(loaded["v"].float().numpy(), vector)


@pytest.mark.parametrize("rows", [1, 3])
def test_refuses_numbers_that_do_not_fill_the_shape(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match=r"m: .* numbers for shape \(2, 4\)"):
        bf16.write(tmp_path / "x", {"m": (2, 4)}, [[np.zeros((rows, 4), np.float32)]])
