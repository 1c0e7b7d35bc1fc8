"""The score head alone, trained on cached features of the frozen model below it."""

import random
from collections.abc import Sequence
from typing import Any

from trainer.training.data import PairGroup
from trainer.training.groups import targets
from trainer.training.objectives import Objective
from trainer.training.settings import PpmSettings


def fit_head(
    groups: Sequence[PairGroup], features: Any, objective: Objective, settings: PpmSettings
) -> tuple[Any, list[float]]:
    """Weights of a head, and the mean loss of each pass over the data.

    Each feature is divided by its root mean square, so that one learning rate fits all; the weights
    that are returned are those of the features as they are. The same in every process.

    Args:
        groups: to learn from.
        features: M by H, float32, of the groups' members in order.
        objective: what is learnt.
        settings: passes, learning rate, groups of a step, seed.

    Returns:
        H, float32.
    """
    import torch

    size = features.square().mean(dim=0).sqrt().clamp(min=1e-6)
    starts = [0]
    for group in groups:
        starts.append(starts[-1] + len(group.members))
    weights = torch.zeros(features.shape[1], requires_grad=True)
    optimizer = torch.optim.AdamW(
        [weights], lr=settings.head_learning_rate, weight_decay=settings.head_weight_decay
    )
    order, shuffled = list(range(len(groups))), random.Random(settings.seed)  # noqa: S311
    curve = []
    for _ in range(settings.head_passes):
        shuffled.shuffle(order)
        total = 0.0
        for start in range(0, len(order), settings.batch):
            chosen = order[start : start + settings.batch]
            members = [row for place in chosen for row in range(starts[place], starts[place + 1])]
            wanted = targets([groups[place] for place in chosen])
            losses = objective.losses((features[members] / size) @ weights, wanted)
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
            total += losses.sum().item()
        curve.append(total / len(groups))
    return (weights / size).detach(), curve
