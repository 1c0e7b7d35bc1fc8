"""Sampling: candidates of one prompt, each an engine request of its own, as they finish."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.common import rpc
from services.common.inference.engine import Engine
from services.common.inference.serving import Serving
from services.policy.asks import Ask
from services.policy.candidates import Candidate, score, token_starts
from services.policy.finished import as_finished
from services.policy.prompts import Finish, Style

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is served: its version and all that goes with it, swapped only as a whole.

    Attributes:
        version: its name in the store.
        engine: runs it.
        style: how it is prompted.
        adapter: what makes the engine's model this version; None where it is the model itself.
    """

    version: str
    engine: Engine
    style: Style
    adapter: "LoRARequest | None" = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A candidate and what made it."""

    index: int
    candidate: Candidate
    served: Served


@dataclass(frozen=True, slots=True)
class _Reply:
    text: str
    tokens: list[int]
    logprobs: list[float]
    finish: Finish


async def sample(
    serving: Serving[Served], version: str, ask: Ask
) -> AsyncGenerator[list[Drawn], None]:
    """Yield candidates in the order in which they finish, each with the model that made it.

    Those that are finished by the time that they are asked for come together.

    Leaving the iteration, or cancelling it, takes unfinished candidates out of the engine.

    Raises:
        rpc.StatusError: the version is not served, or the prompt does not fit it.
    """
    prompts = _Prompts(ask)

    async def one(index: int) -> Drawn:
        async def draw_on(served: Served) -> Drawn:
            candidate = await draw(served, await prompts.of(served), ask, index)
            return Drawn(index, candidate, served)

        return await serving.use(version, draw_on)

    async with contextlib.aclosing(as_finished(map(one, range(ask.count)))) as found:
        async for several in found:
            yield several


class _Prompts:
    """The prompt of one call, worked out once for each model that draws from it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._known: list[tuple[Served, list[int]]] = []

    async def of(self, served: Served) -> list[int]:
        """Token ids; raises InvalidField where they leave no room."""
        async with self._lock:
            for known, prompt in self._known:
                if known is served:
                    return prompt
            prompt = await tokenize(served, self._ask)
            self._known.append((served, prompt))
            return prompt


async def tokenize(served: Served, ask: Ask) -> list[int]:
    """The prompt as token ids.

    Raises:
        rpc.InvalidField: nothing can follow the steps, or the prompt leaves too little room.
    """
    engine, style = served.engine, served.style
    if fault := style.continues(ask.steps):
        raise rpc.InvalidField("steps", fault)
    text = style.prompt(ask.problem, ask.steps)
    prompt = await engine.tokenize(text, add_special_tokens=style.special_tokens)
    room = engine.context_tokens - len(prompt)
    if ask.sampling.max_tokens > room:
        raise rpc.InvalidField(
            "sampling.max_tokens",
            f"the prompt's {len(prompt)} tokens and {ask.sampling.max_tokens} new ones are "
            f"over the context of {engine.context_tokens} tokens",
        )
    return prompt


async def draw(served: Served, prompt: list[int], ask: Ask, index: int) -> Candidate:
    """One candidate."""
    reply = await _reply(served, prompt, ask, index)
    pieces = served.style.split(ask.steps, reply.text)
    starts = token_starts(served.engine.tokenizer, prompt, reply.tokens)
    steps = score(pieces, starts, reply.logprobs) if pieces else []
    return Candidate(steps, len(reply.tokens), reply.finish)


async def _reply(served: Served, prompt: list[int], ask: Ask, index: int) -> _Reply:
    style, several = served.style, ask.sampling.max_steps > 1
    outputs = served.engine.generate(prompt, _params(style, ask, index), served.adapter)
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
