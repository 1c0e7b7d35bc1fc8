"""LoRA adapters as peft writes them, merged into the weights they were trained on; no torch.

W' = W + s * B A, with s = alpha / rank, or alpha / sqrt(rank) for rank-stabilised ones
(Hu et al. 2021; Kalajdzievski 2023). Computed in float32, stored in the type of W.
"""

import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from services.common.models import folder as folders
from services.common.models import tensors, weights
from services.common.models.bf16 import Floats
from services.common.models.weights import BadFile, Tensor

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
FOLDER = "adapter"
_PREFIX = "base_model.model."
_PART = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])\.(?:default\.)?weight$")
# What changes the product above; an adapter that uses one of them is refused, not approximated.
_UNSUPPORTED = ("use_dora", "fan_in_fan_out", "alora_invocation_tokens", "megatron_config")

Value = TypeVar("Value", int, float)


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """What of adapter_config.json matters.

    Attributes:
        rank: of the two factors.
        alpha: numerator of the scaling.
        stabilised: whether the scaling divides by the rank's root.
        ranks, alphas: other values, for modules whose names match a pattern.
    """

    rank: int
    alpha: float
    stabilised: bool
    ranks: dict[str, int]
    alphas: dict[str, float]

    def scaling(self, module: str) -> float:
        """The factor s of a module."""
        rank = _matching(self.ranks, module, self.rank)
        alpha = _matching(self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.stabilised else rank)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter in the place of a model."""
    return (folder / CONFIG).is_file()


def read_config(folder: Path) -> LoraConfig:
    """An adapter's configuration.

    Raises:
        BadFile: it is missing, no LoRA, or uses what a plain product cannot express.
    """
    fields = _fields(folder / CONFIG)
    if fields.get("peft_type") != "LORA":
        raise BadFile(CONFIG, f"peft_type {fields.get('peft_type')!r}: only LORA can be merged")
    for name in _UNSUPPORTED:
        if fields.get(name):
            raise BadFile(CONFIG, f"{name} cannot be merged here")
    if fields.get("bias", "none") != "none":
        raise BadFile(CONFIG, f"bias {fields['bias']!r}: only none can be merged here")
    try:
        return LoraConfig(
            rank=int(fields["r"]),
            alpha=float(fields["lora_alpha"]),
            stabilised=bool(fields.get("use_rslora")),
            ranks={str(k): int(v) for k, v in (fields.get("rank_pattern") or {}).items()},
            alphas={str(k): float(v) for k, v in (fields.get("alpha_pattern") or {}).items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(CONFIG, f"cannot be read: {error}") from None


def merge(base: Path, adapter: Path, target: Path) -> LoraConfig:
    """Write a plain model: the base's folder with the adapter's products added to its weights.

    The adapter's own two files are kept in `adapter/`, for serving it beside others of its base.

    Args:
        base: a Hugging Face folder, the one that the adapter was trained on.
        adapter: a folder as peft's `save_pretrained` writes it.
        target: an empty or missing folder.

    Raises:
        BadFile: the two do not fit each other, or the adapter is one that cannot be merged.
    """
    config = read_config(adapter)
    changes = _Changes(config, _adapter_tensors(adapter), weights.tensors(base))
    target.mkdir(parents=True, exist_ok=True)
    for name, path in folders.files(base):
        if path.suffix == ".safetensors" and path.parent == base:
            header = weights.read_header(path)
            tensors.rewrite(path, target / name, header, changes.of)
        elif not name.startswith(f"{FOLDER}/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
    (target / FOLDER).mkdir()
    for name in (CONFIG, WEIGHTS):
        shutil.copyfile(adapter / name, target / FOLDER / name)
    return config


class _Changes:
    """An adapter's effect on each tensor of its base."""

    def __init__(
        self, config: LoraConfig, parts: dict[str, Tensor], base: dict[str, Tensor]
    ) -> None:
        self._config = config
        self._base = base
        self._factors: dict[str, dict[str, Tensor]] = {}
        self._whole: dict[str, Tensor] = {}
        for name, tensor in parts.items():
            self._sort(name.removeprefix(_PREFIX), tensor)
        self._check()

    def of(self, name: str) -> Floats | None:
        """New numbers of a tensor; None where it stays."""
        if name in self._whole:
            return tensors.floats(self._whole[name])
        module = name.removesuffix(".weight")
        if not name.endswith(".weight") or module not in self._factors:
            return None
        pair = self._factors[module]
        product = tensors.floats(pair["B"]) @ tensors.floats(pair["A"])
        return tensors.floats(self._base[name]) + self._config.scaling(module) * product

    def _sort(self, name: str, tensor: Tensor) -> None:
        if part := _PART.match(name):
            self._factors.setdefault(part["module"], {})[part["side"]] = tensor
        elif "lora_" in name:
            raise BadFile(WEIGHTS, f"{name}: not a factor of a linear layer")
        else:
            # A module that was trained whole, such as a PPM's head.
            self._whole[name.replace(".modules_to_save.default.", ".")] = tensor

    def _check(self) -> None:
        if not self._factors and not self._whole:
            raise BadFile(WEIGHTS, "holds nothing to merge")
        for module, pair in self._factors.items():
            if set(pair) != {"A", "B"}:
                raise BadFile(WEIGHTS, f"{module}: one of its two factors is missing")
            a, b = pair["A"].shape, pair["B"].shape
            base = self._base.get(f"{module}.weight")
            if base is None:
                raise BadFile(WEIGHTS, f"{module}: the base has no such layer")
            if len(a) != 2 or len(b) != 2 or a[0] != b[1] or (b[0], a[1]) != base.shape:
                raise BadFile(WEIGHTS, f"{module}: {b} times {a} does not fit {base.shape}")
        for name, tensor in self._whole.items():
            here = self._base.get(name)
            if here is None or here.shape != tensor.shape:
                raise BadFile(WEIGHTS, f"{name}: the base has no tensor of this name and shape")


def _adapter_tensors(adapter: Path) -> dict[str, Tensor]:
    path = adapter / WEIGHTS
    if not path.is_file():
        raise BadFile(WEIGHTS, "missing; weights must be safetensors")
    return weights.read_header(path)


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadFile(path.name, "missing") from None
    except ValueError as error:
        raise BadFile(path.name, f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadFile(path.name, "not a JSON object")
    return fields


def _matching(patterns: Mapping[str, Value], module: str, default: Value) -> Value:
    """The value of the first pattern that a module's name ends with, as peft matches them."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
