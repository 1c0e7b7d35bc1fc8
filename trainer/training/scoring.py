"""Logits, and the features below them, of many texts, shared out over the processes."""

from collections.abc import Callable, Sequence
from typing import Any

from trainer.training.groups import padded

Ids = tuple[int, ...]
Forward = Callable[[dict[str, Any]], Any]
"""From `input_ids` and `attention_mask` of B texts to a tensor of B rows."""


def features(model: Any) -> Forward:
    """The hidden state that a score head reads: B by H, float32."""

    def forward(batch: dict[str, Any]) -> Any:
        import torch

        hidden = model.model(**batch, use_cache=False).last_hidden_state
        last = batch["attention_mask"].sum(dim=1) - 1
        return hidden[torch.arange(len(last), device=hidden.device), last].float()

    return forward


def logits(model: Any) -> Forward:
    """A model's logits: B by 1, float32."""
    return lambda batch: model(**batch, use_cache=False).logits.float()


def compute(
    forward: Forward, model: Any, texts: Sequence[Ids], pad: int, size: int, state: Any
) -> Any:
    """What `forward` says of texts, each computed once.

    Args:
        forward: of the model.
        model: put into evaluation for good.
        texts: token ids; the same in every process.
        pad: id to fill up with.
        size: texts at once.
        state: accelerate.PartialState.

    Returns:
        One row a text, in their order, on the CPU; in every process.
    """
    import torch
    from accelerate.utils import gather_object

    model.eval()
    rows = sorted(set(texts), key=lambda row: (len(row), row))
    found: list[tuple[Ids, Any]] = []
    with torch.inference_mode(), state.split_between_processes(rows) as own:
        for start in range(0, len(own), size):
            chunk = own[start : start + size]
            batch = {key: value.to(state.device) for key, value in padded(chunk, pad).items()}
            found += zip(chunk, forward(batch).cpu(), strict=True)
    known = dict(gather_object(found) if state.num_processes > 1 else found)
    return torch.stack([known[row] for row in texts])
