"""A policy of the first layers of SmolLM2-135M: a real model and fast, though it makes no sense."""

from pathlib import Path

from services.common.models.store import ModelStore, StoredModel

LAYERS = 4
VERSION = "small"


def make_small_policy(
    policy: StoredModel,
    store: ModelStore,
    scratch: Path,
    *,
    version: str = VERSION,
    layers: int = LAYERS,
) -> StoredModel:
    """Publish a policy of a few layers, its head tied to its embedding like the whole one's."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(policy.path)
    model.model.layers = model.model.layers[:layers]
    model.config.num_hidden_layers = layers
    model.save_pretrained(scratch)
    AutoTokenizer.from_pretrained(policy.path).save_pretrained(scratch)
    return store.publish(
        "policy",
        version,
        scratch,
        licence=policy.manifest.licence,
        base=policy.manifest.version,
        prompt_style="bare",
        move=True,
    )
