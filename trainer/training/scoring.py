"""Logits, and the features below them, of many texts, shared out over the processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.training.groups import padded

Ids = tuple[int, ...]
Forward = Callable[[dict[str, Any], Sequence[tuple[int, ...]]], Any]
"""From `input_ids` and `attention_mask` of B texts, and the lengths at which each is read, to a
tensor with a row for each length, in order."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, and the lengths of all wanted texts that it begins with, itself the first."""

    ids: Ids
    ends: tuple[int, ...]


def passages(texts: Sequence[Ids]) -> list[Passage]:
    """As few texts as hold all others as their beginnings, shortest first.

    A causal model has computed a step on the way to every later one, so the steps of a solution
    cost no more than its last.
    """
    found: list[tuple[Ids, list[int]]] = []
    # What begins with a text stands right behind it in this order.
    for row in sorted(set(texts), reverse=True):
        if found and found[-1][0][: len(row)] == row:
            found[-1][1].append(len(row))
        else:
            found.append((row, [len(row)]))
    whole = [Passage(ids, tuple(ends)) for ids, ends in found]
    return sorted(whole, key=lambda one: (len(one.ids), one.ids))


def features(model: Any) -> Forward:
    """The hidden states that a score head reads: R by H, float32."""

    def forward(batch: dict[str, Any], ends: Sequence[tuple[int, ...]]) -> Any:
        import torch

        hidden = model.model(**batch, use_cache=False).last_hidden_state
        places = [(row, end - 1) for row, lengths in enumerate(ends) for end in lengths]
        rows, last = torch.tensor(places, device=hidden.device).T
        return hidden[rows, last].float()

    return forward


def logits(model: Any) -> Forward:
    """A model's logits: R by 1, float32."""
    states = features(model)
    return lambda batch, ends: model.score(states(batch, ends).to(model.dtype)).float()


def compute(
    forward: Forward, model: Any, texts: Sequence[Ids], pad: int, size: int, state: Any
) -> Any:
    """What `forward` says of texts, each computed once, and with those that begin with it.

    Args:
        forward: of the model, which is causal.
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
    found: list[tuple[Ids, Any]] = []
    with torch.inference_mode(), state.split_between_processes(passages(texts)) as own:
        for start in range(0, len(own), size):
            chunk = own[start : start + size]
            batch = padded([one.ids for one in chunk], pad)
            on_device = {key: value.to(state.device) for key, value in batch.items()}
            said = forward(on_device, [one.ends for one in chunk]).cpu()
            read = (one.ids[:end] for one in chunk for end in one.ends)
            found += zip(read, said, strict=True)
    known = dict(gather_object(found) if state.num_processes > 1 else found)
    return torch.stack([known[row] for row in texts])
