"""Sampling: candidates of one prompt, each an engine request of its own, as they finish."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.common.inference.engine import Engine
from services.policy.asks import Ask
from services.policy.candidates import Candidate, score, token_starts
from services.policy.prompts import Finish, Style

if TYPE_CHECKING:
    from vllm import SamplingParams


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is served: its version and all that goes with it, swapped only as a whole."""

    version: str
    engine: Engine
    style: Style


@dataclass(frozen=True, slots=True)
class _Reply:
    text: str
    tokens: list[int]
    logprobs: list[float]
    finish: Finish


async def sample(
    served: Served, prompt: list[int], ask: Ask
) -> AsyncIterator[tuple[int, Candidate]]:
    """Yield (index, candidate) in the order in which they finish.

    Leaving the iteration, or cancelling it, takes unfinished candidates out of the engine.
    """
    tasks = [asyncio.create_task(_one(served, prompt, ask, i)) for i in range(ask.count)]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(served: Served, prompt: list[int], ask: Ask, index: int) -> tuple[int, Candidate]:
    reply = await _reply(served, prompt, ask, index)
    pieces = served.style.split(ask.steps, reply.text)
    starts = token_starts(served.engine.tokenizer, prompt, reply.tokens)
    steps = score(pieces, starts, reply.logprobs) if pieces else []
    return index, Candidate(steps, len(reply.tokens), reply.finish)


async def _reply(served: Served, prompt: list[int], ask: Ask, index: int) -> _Reply:
    style, several = served.style, ask.sampling.max_steps > 1
    outputs = served.engine.generate(prompt, _params(style, ask, index))
    async for output in outputs:
        new = output.outputs[0]
        tokens = list(new.token_ids)
        logprobs = [at[token].logprob for token, at in zip(tokens, new.logprobs, strict=True)]
        if several and (end := style.end_of(new.text, ask.sampling.max_steps)) is not None:
            await outputs.aclose()
            return _Reply(new.text[:end], tokens, logprobs, Finish.STEP)
        if output.finished:
            stop = new.stop_reason if isinstance(new.stop_reason, str) else None
            cut = new.finish_reason == "length"
            finish = Finish.LENGTH if cut else style.finish(ask.steps, stop)
            return _Reply(new.text, tokens, logprobs, finish)
    raise RuntimeError("the engine ended a request without a result")


def _params(style: Style, ask: Ask, index: int) -> "SamplingParams":
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    sampling = ask.sampling
    several = sampling.max_steps > 1
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed_of(index),
        stop=style.stops(ask.steps, sampling.max_steps),
        logprobs=0,
        skip_special_tokens=False,
        spaces_between_special_tokens=False,
        # Counting steps needs the text as it grows; one stop text cannot stand for several.
        output_kind=RequestOutputKind.CUMULATIVE if several else RequestOutputKind.FINAL_ONLY,
    )
