"""A second version of a model whose outputs differ visibly, for measuring exchanges."""

import shutil
from collections.abc import Callable
from pathlib import Path

from rstar.bench.random_ppm import make_ppm
from services.common.models import tensors, weights
from services.common.models.bf16 import Floats
from services.common.models.store import ModelStore, StoredModel

NOISE = 0.3
SEED = 5


def publish_pair(
    store: ModelStore, source: StoredModel, scratch: Path, *, noise: float = NOISE
) -> tuple[str, str]:
    """Publish `first`, the model itself, and `second`, the same with noise on its embedding.

    Both are prompted by the bare grammar, whose prompts are short.

    Args:
        store: where to publish.
        source: a policy.
        scratch: an empty folder beside the store.
        noise: its standard deviation, as a share of the embedding's own.
    """
    import numpy as np

    generator = np.random.default_rng(SEED)

    def disturb(numbers: Floats) -> Floats:
        drawn = generator.standard_normal(numbers.shape, np.float32)
        return numbers + np.float32(noise * numbers.std()) * drawn

    for version in ("first", "second"):
        folder = scratch / version
        shutil.copytree(source.path, folder, ignore=shutil.ignore_patterns("manifest.json"))
        if version == "second":
            for path in source.path.glob("*.safetensors"):
                _rewrite(path, folder / path.name, disturb)
        store.publish(
            "policy",
            version,
            folder,
            licence=source.manifest.licence,
            base=source.manifest.base,
            prompt_style="bare",
            move=True,
        )
    return "first", "second"


def publish_ppms(store: ModelStore, source: StoredModel, scratch: Path) -> tuple[str, str]:
    """Publish PPMs `first` and `second`: a policy's body under heads of different random numbers.

    Args:
        store: where to publish.
        source: a policy.
        scratch: a folder, for files on the way.
    """
    for seed, version in enumerate(("first", "second"), SEED):
        make_ppm(source, store, scratch / f"ppm-{version}", seed=seed, version=version)
    return "first", "second"


def _rewrite(source: Path, target: Path, disturb: Callable[[Floats], Floats]) -> None:
    header = weights.read_header(source)

    def change(name: str) -> Floats | None:
        if not name.endswith("embed_tokens.weight"):
            return None
        return disturb(tensors.floats(header[name]))

    tensors.rewrite(source, target, header, change)
