"""How a version of the store becomes a served policy, and how it is proved and warmed."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from services.common.inference import engine
from services.common.inference.arguments import Adapters
from services.common.inference.engine import Engine, EngineError
from services.common.inference.host import Craft
from services.common.models.errors import ModelError
from services.common.models.store import StoredModel
from services.policy.asks import Ask, Sampling
from services.policy.prompts import Style, style_of
from services.policy.sampler import Served, draw
from services.policy.settings import PolicySettings

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest

WARM_UP_TOKENS = 8
_PROOF = "1 + 1 ="


def craft(settings: PolicySettings) -> Craft[Served]:
    """The policy's part in loading a model."""
    names = settings.trial_names
    adapters = Adapters(len(names), settings.trial_rank) if names else None

    async def start(folder: Path) -> Engine:
        return await engine.start(settings, folder, runner="generate", adapters=adapters)

    return Craft(start, make, prove, warm)


def make(stored: StoredModel, running: Engine, adapter: "LoRARequest | None" = None) -> Served:
    """What is served of a version by an engine that runs it.

    Raises:
        ModelError: its manifest does not say how it is prompted.
    """
    manifest = stored.manifest
    if manifest.prompt_style is None:
        raise ModelError(f"policy {manifest.version!r}: its manifest has no prompt_style")

    def chat(messages: list[dict[str, str]]) -> str:
        text: str = running.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return text

    style: Style = style_of(manifest.prompt_style, chat)
    return Served(manifest.version, running, style, adapter)


async def prove(served: Served) -> None:
    """One token.

    Raises:
        EngineError: its probability is no number: the weights are broken.
    """
    from vllm import SamplingParams

    prompt = await served.engine.tokenize(_PROOF, add_special_tokens=True)
    params = SamplingParams(temperature=0.0, max_tokens=1, logprobs=0)
    async for output in served.engine.generate(prompt, params, served.adapter):
        for at in output.outputs[0].logprobs or ():
            if not all(math.isfinite(token.logprob) for token in at.values()):
                raise EngineError(f"{served.version} computes no numbers: its weights are broken")


async def warm(served: Served) -> None:
    """One real request, which leaves the prompt's constant head in the cache.

    Raises:
        EngineError: the context does not hold the prompt.
    """
    ask = Ask("What is 1 + 1?", (), 1, Sampling(0.0, 1.0, WARM_UP_TOKENS, 0, 1))
    text = served.style.prompt(ask.problem, ask.steps)
    prompt = await served.engine.tokenize(text, add_special_tokens=served.style.special_tokens)
    if len(prompt) + WARM_UP_TOKENS > served.engine.context_tokens:
        raise EngineError(
            f"a context of {served.engine.context_tokens} tokens does not hold the prompt"
        )
    await draw(served, prompt, ask, 0)
