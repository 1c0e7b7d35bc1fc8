"""Merging adapters, compared with torch's own arithmetic."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.common.models import lora, weights
from services.common.models.weights import BadFile
from tests.support.adapters import ALPHA, RANK, make_adapter, make_base


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_base(tmp_path / "base")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return make_adapter(tmp_path / "adapter")


def load(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(path)


def expected(base: Path, adapter: Path, scaling: float) -> Any:
    import torch

    parts = load(adapter / lora.WEIGHTS)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    a, b = (parts[f"{prefix}{side}.weight"].float() for side in "AB")
    weight = load(base / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    return (weight.float() + scaling * b @ a).to(torch.bfloat16)


@pytest.mark.parametrize(
    ("change", "scaling"),
    [
        ({}, ALPHA / RANK),
        ({"use_rslora": True}, ALPHA / RANK**0.5),
        ({"alpha_pattern": {"q_proj": 2.0}}, 2.0 / RANK),
        ({"rank_pattern": {"layers.0.self_attn.q_proj": 2}}, ALPHA / 2),
        ({"alpha_pattern": {"_proj": 2.0}}, ALPHA / RANK),
    ],
)
def test_the_product_is_added_with_the_adapters_scaling(
    base: Path, adapter: Path, tmp_path: Path, change: dict[str, Any], scaling: float
) -> None:
    import torch

    path = adapter / lora.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    config = lora.merge(base, adapter, tmp_path / "merged")
    assert (config.rank, config.alpha) == (RANK, ALPHA)
    merged, before = (load(folder / "model.safetensors") for folder in (tmp_path / "merged", base))
    changed = "model.layers.0.self_attn.q_proj.weight"
    torch.testing.assert_close(merged[changed], expected(base, adapter, scaling), rtol=0, atol=0)
    assert not torch.equal(merged[changed], before[changed])
    for name in before.keys() - {changed}:
        assert torch.equal(merged[name], before[name])
    assert merged.keys() == before.keys()


def test_the_result_is_a_plain_folder_with_its_adapter_beside(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    lora.merge(base, adapter, tmp_path / "merged")
    weights.check_folder("policy", tmp_path / "merged")
    names = {path.name for path in (tmp_path / "merged" / lora.FOLDER).iterdir()}
    assert names == {lora.CONFIG, lora.WEIGHTS}
    tokenizers = [folder / "tokenizer.json" for folder in (tmp_path / "merged", base)]
    assert tokenizers[0].read_bytes() == tokenizers[1].read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "only LORA"),
        ({"use_dora": True}, "use_dora cannot be merged"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"bias": "all"}, "bias 'all'"),
        ({"r": "many"}, "cannot be read"),
    ],
)
def test_what_a_product_cannot_express_is_refused(
    base: Path, adapter: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = adapter / lora.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadFile, match=said):
        lora.merge(base, adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        ("model.layers.7.self_attn.q_proj", None, "the base has no such layer"),
        ("model.layers.0.self_attn.q_proj", (5, 9), "does not fit"),
    ],
)
def test_an_adapter_of_another_base_is_refused(
    base: Path, tmp_path: Path, module: str, shape: tuple[int, int] | None, said: str
) -> None:
    adapter = make_adapter(tmp_path / "other", module=module, shape=shape)
    with pytest.raises(BadFile, match=said):
        lora.merge(base, adapter, tmp_path / "merged")


def test_a_pickled_adapter_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    (adapter / lora.WEIGHTS).rename(adapter / "adapter_model.bin")
    with pytest.raises(BadFile, match="must be safetensors"):
        lora.merge(base, adapter, tmp_path / "merged")
