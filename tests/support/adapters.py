"""LoRA adapters of a few numbers, and a base for them."""

import json
from pathlib import Path

from tests.support.folders import make_folder

RANK = 4
ALPHA = 8.0
SHAPE = (6, 8)
MODULE = "model.layers.0.self_attn.q_proj"


def make_base(folder: Path) -> Path:
    """A folder with two layers' worth of random bf16 numbers."""
    import torch
    from safetensors.torch import save_file

    make_folder(folder)
    generator = torch.Generator().manual_seed(1)
    names = [f"{MODULE}.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight"]
    save_file(
        {name: torch.randn(SHAPE, generator=generator).bfloat16() for name in names},
        folder / "model.safetensors",
    )
    return folder


def make_adapter(
    folder: Path,
    *,
    module: str = MODULE,
    shape: tuple[int, int] | None = None,
    rank: int = RANK,
    alpha: float = ALPHA,
    seed: int = 2,
    size: float = 1.0,
) -> Path:
    """An adapter of one layer of a base, as peft's save_pretrained writes it."""
    import torch
    from safetensors.torch import save_file

    rows, columns = shape or SHAPE
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    save_file(
        {
            f"base_model.model.{module}.lora_A.weight": size
            * torch.randn((rank, columns), generator=generator),
            f"base_model.model.{module}.lora_B.weight": size
            * torch.randn((rows, rank), generator=generator),
        },
        folder / "adapter_model.safetensors",
    )
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": alpha,
        "bias": "none",
        "target_modules": [module.rpartition(".")[2]],
        "base_model_name_or_path": "base",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
