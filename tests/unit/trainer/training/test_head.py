import torch

from tests.support.training import steps_group
from trainer.training.head import fit_head
from trainer.training.objectives import Pairs
from trainer.training.settings import PpmSettings

SETTINGS = PpmSettings(data=("d",), base="b", output="o", method="head", head_epochs=60, batch=16)


def test_the_direction_that_tells_good_from_bad_is_found() -> None:
    """Also where it is a thousand times smaller than the features that tell nothing."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 8, generator=generator) * 1000
    features[0::2, 3], features[1::2, 3] = 1.0, -1.0
    groups = [steps_group(str(n), "good", "bad") for n in range(100)]
    weights, curve = fit_head(groups, features, Pairs(), SETTINGS)
    logits = features @ weights
    assert (logits[0::2] > logits[1::2]).float().mean() > 0.95
    assert curve[-1] < 0.5 < curve[0]
    again, _ = fit_head(groups, features, Pairs(), SETTINGS)
    assert torch.equal(weights, again)
