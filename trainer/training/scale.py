"""The scale of a PPM's score, tanh(logit / scale).

With a temperature T, sigmoid(logit / T) is a probability: that a solution is right, and, of the
difference of two logits, that the first is preferred (Bradley and Terry). T is the one that gives
held-out data the highest likelihood under the model's own objective. The score is the same number
between -1 and 1, 2 sigmoid(logit / T) - 1 = tanh(logit / (2 T)), so the scale is 2 T.
"""

import math
from collections.abc import Callable

_LOWEST, _HIGHEST = 1e-3, 1e3
_GOLDEN = (math.sqrt(5) - 1) / 2
_PRECISION = 1e-4


def fit_scale(loss: Callable[[float], float]) -> float:
    """The scale for the temperature of the lowest loss, between 0.001 and 1000.

    Args:
        loss: held-out loss of the logits divided by a temperature. For log-likelihoods of this kind
            it falls to one minimum and rises again. Its targets should be in some doubt
            (`doubt_of`), or data that is told apart without an error asks for a temperature of 0.
    """
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    values = [loss(math.exp(one)) for one in inner]
    while high - low > _PRECISION:
        if values[0] <= values[1]:
            high = inner[1]
            inner = [high - _GOLDEN * (high - low), inner[0]]
            values = [loss(math.exp(inner[0])), values[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + _GOLDEN * (high - low)]
            values = [values[1], loss(math.exp(inner[1]))]
    return 2 * math.exp((low + high) / 2)


def doubt_of(count: int) -> float:
    """How far targets are to be doubted that `count` cases bear out: 1 / (count + 2) (Platt)."""
    return 1 / (count + 2)
