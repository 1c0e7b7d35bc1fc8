"""A store with a small policy, and a PPM of which the head alone was trained."""

from pathlib import Path

from services.common.models.manifest import Data, Source
from services.common.models.store import ModelStore
from tests.support.training import make_base
from trainer.training import models

LAYERS = 1
SOURCE = Source(uri="test://base", sha256="a" * 64, size=1)
DATA = Data(uri="groups.parquet", sha256="b" * 64)


def store_with_head(store: ModelStore, place: Path) -> ModelStore:
    """The store with the policy `small` and the PPM `trained`; `place` is for their folders."""
    from transformers import AutoTokenizer

    base = make_base(place / "base", family="qwen2", padding=32, dtype="bfloat16")
    # What transformers adds to a tokenizer of this family belongs to the base.
    AutoTokenizer.from_pretrained(base).save_pretrained(base)
    store.publish(
        "policy", "small", base, licence="MIT", prompt_style="bare", source=SOURCE, base="Small"
    )
    write_ppm(base, place / "ppm")
    store.publish(
        "ppm", "trained", place / "ppm", licence="MIT", scale=1.5, data=DATA, metrics={"pairs": 0.7}
    )
    return store


def write_ppm(base: Path, folder: Path, change: str = "score.weight") -> None:
    """Write a PPM on the first layers of a base, one parameter of it set at random."""
    import torch

    tokenizer, new = models.load_tokenizer(base)
    model = models.load_model(base, "score", tokenizer, new, layers=LAYERS, dtype="bfloat16")
    torch.manual_seed(1)
    with torch.no_grad():
        model.get_parameter(change).normal_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
