"""The policy's process: load the model, prove that it can write, then open it to callers."""

import asyncio
import time

from services.common import logs, rpc
from services.common.inference import engine, model_server
from services.common.inference.engine import Engine, EngineError
from services.common.models.errors import ModelError
from services.common.models.store import ModelStore, StoredModel
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy.asks import Ask, Sampling
from services.policy.prompts import Style, style_of
from services.policy.sampler import Served, sample
from services.policy.servicer import NAME, PolicyServicer
from services.policy.settings import PolicySettings

# Room for calls that are refused or only ask for Info or health.
SPARE_RPCS = 64
WARM_UP_TOKENS = 8

log = logs.get(__name__)


async def serve(settings: PolicySettings) -> int:
    """Serve until a signal; returns the process's exit code."""
    server = rpc.Server((NAME,), max_concurrent_rpcs=settings.max_in_flight + SPARE_RPCS)
    servicer = PolicyServicer(settings)
    pb_grpc.add_PolicyServiceServicer_to_server(servicer, server.grpc)

    async def load() -> Engine:
        served = await _load(settings)
        servicer.serve(served)
        for name in ("", NAME):
            await server.set_serving(True, name)
        return served.engine

    return await model_server.run(server, settings, load)


async def _load(settings: PolicySettings) -> Served:
    began = time.monotonic()
    store = ModelStore(settings.store)
    stored = await asyncio.to_thread(store.open, "policy", settings.model)
    log.info("loading", model=stored.manifest.version)
    running = await engine.start(settings, stored.path, runner="generate")
    try:
        served = Served(stored.manifest.version, running, _style(running, stored))
        await _warm_up(served)
    except BaseException:
        await running.stop()
        raise
    log.info(
        "serving",
        model=served.version,
        context_tokens=running.context_tokens,
        start_seconds=round(time.monotonic() - began, 1),
    )
    return served


def _style(running: Engine, stored: StoredModel) -> Style:
    if stored.manifest.prompt_style is None:
        raise ModelError(f"policy {stored.manifest.version!r}: its manifest has no prompt_style")

    def chat(messages: list[dict[str, str]]) -> str:
        text: str = running.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return text

    return style_of(stored.manifest.prompt_style, chat)


async def _warm_up(served: Served) -> None:
    """One real request: proves the engine, and leaves the prompt's constant head in its cache."""
    ask = Ask("What is 1 + 1?", (), 1, Sampling(0.0, 1.0, WARM_UP_TOKENS, 0, 1))
    text = served.style.prompt(ask.problem, ask.steps)
    prompt = await served.engine.tokenize(text, add_special_tokens=served.style.special_tokens)
    if len(prompt) + WARM_UP_TOKENS > served.engine.context_tokens:
        raise EngineError(
            f"a context of {served.engine.context_tokens} tokens does not hold the prompt"
        )
    async for _ in sample(served, prompt, ask):
        pass
