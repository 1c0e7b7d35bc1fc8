"""A PPM made on the spot: a policy with a head of random numbers.

It judges nothing, but its scores are real: a transformer's, the same each time, different for
different texts.
"""

from pathlib import Path

from services.common.models.store import ModelStore, StoredModel

SCALE = 5.0
SEED = 20250104
VERSION = "smollm2-135m-ppm"


def make_ppm(
    policy: StoredModel,
    store: ModelStore,
    scratch: Path,
    *,
    seed: int = SEED,
    version: str = VERSION,
) -> StoredModel:
    """Publish a PPM made from a policy.

    Args:
        policy: the model below the head.
        store: where to publish.
        scratch: an empty folder for files on the way.
        seed: of the head: another seed, other scores.
        version: its name in the store.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(policy.path)
    model = AutoModelForSequenceClassification.from_pretrained(
        policy.path, num_labels=1, dtype=torch.float32
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.score.weight.normal_(std=0.1, generator=generator)
    model.to(torch.bfloat16).save_pretrained(scratch)
    tokenizer.save_pretrained(scratch)
    return store.publish(
        "ppm",
        version,
        scratch,
        licence=policy.manifest.licence,
        base=policy.manifest.version,
        scale=SCALE,
    )
