import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.training import steps_group
from trainer.training.groups import targets
from trainer.training.objectives import Pairs
from trainer.training.scale import doubt_of, fit_scale


@pytest.mark.parametrize("temperature", [0.2, 1.0, 7.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    """Pairs whose first is preferred with probability sigmoid(gap / temperature)."""
    rng = random.Random(1)
    logits = []
    for _ in range(4000):
        gap = rng.gauss(0, 2 * temperature)
        first = rng.random() < 1 / (1 + math.exp(-gap / temperature))
        logits += [gap, 0.0] if first else [0.0, gap]
    wanted = targets([steps_group("p", "good", "bad")] * 4000)
    flat, doubt = torch.tensor(logits), doubt_of(4000)
    scale = fit_scale(lambda t: Pairs().losses(flat / t, wanted, doubt).mean().item())
    assert scale == pytest.approx(2 * temperature, rel=0.1)


def test_pairs_without_an_error_leave_scores_apart() -> None:
    """Without doubt the likeliest temperature is 0, and every score 1 or -1."""
    wanted = targets([steps_group("p", "good", "bad")] * 20)
    flat = torch.tensor([1.0, -1.0] * 20)
    scale = fit_scale(lambda t: Pairs().losses(flat / t, wanted, doubt_of(20)).mean().item())
    assert 0.1 < math.tanh(1 / scale) < 0.99


@given(st.floats(-6.5, 6.5))
@settings(max_examples=30)
def test_the_minimum_is_found_wherever_it_lies(place: float) -> None:
    scale = fit_scale(lambda t: (math.log(t) - place) ** 2)
    assert math.log(scale / 2) == pytest.approx(place, abs=1e-3)
