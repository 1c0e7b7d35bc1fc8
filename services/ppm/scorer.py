"""Scores: what the PPM thinks of partial solutions."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.common import rpc
from services.common.inference.engine import Engine
from services.common.steps import render_scored
from services.ppm.asks import Ask

if TYPE_CHECKING:
    from vllm import PoolingParams


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is served: its version and all that goes with it, swapped only as a whole.

    Attributes:
        version: its name in the store.
        scale: of tanh(logit / scale), from its manifest.
        engine: runs it.
    """

    version: str
    scale: float
    engine: Engine


@dataclass(frozen=True, slots=True)
class Score:
    """The judgement of one partial solution; the fields of the message of the same name."""

    value: float
    logit: float
    tokens: int


async def score(served: Served, asks: Sequence[Ask]) -> list[Score]:
    """Score the partial solutions of all asks, in their order.

    Raises:
        rpc.InvalidField: one is longer than the model's context. It is not cut: what would be cut
            off is the step that is judged.
    """
    prompts = [
        await _prompt(served.engine, ask, index)
        for ask in asks
        for index, _ in enumerate(ask.solutions)
    ]
    outputs = await asyncio.gather(*(served.engine.pool(prompt, _params()) for prompt in prompts))
    return [
        Score(math.tanh(logit / served.scale), logit, len(prompt))
        for (logit,), prompt in zip(outputs, prompts, strict=True)
    ]


async def _prompt(engine: Engine, ask: Ask, index: int) -> list[int]:
    text = render_scored(ask.problem, ask.solutions[index])
    prompt = await engine.tokenize(text, add_special_tokens=True)
    if len(prompt) > engine.context_tokens:
        raise rpc.InvalidField(
            f"{ask.name}solutions[{index}]",
            f"must be at most {engine.context_tokens} tokens with its problem, is {len(prompt)}",
        )
    return prompt


def _params() -> "PoolingParams":
    from vllm import PoolingParams

    return PoolingParams(task="classify", use_activation=False)
