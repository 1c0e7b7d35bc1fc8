"""vLLM as the policy and the PPM use it: start, requests, death, stop.

The engine runs in processes of its own (an engine core and, on a CPU or with several GPUs, its
workers). vLLM is imported only when an engine starts, so that a service without a model is small.
"""

import asyncio
import contextlib
import gc
import itertools
import multiprocessing
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import grpc

from services.common import logs, rpc
from services.common.inference.arguments import (
    Adapters,
    EngineSettings,
    engine_arguments,
    set_environment,
)

if TYPE_CHECKING:
    from vllm import PoolingParams, RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

DEATH_POLL_SECONDS = 0.25
STOP_SECONDS = 5.0
RESET_SECONDS = 10.0
RESET_POLL_SECONDS = 0.02

log = logs.get(__name__)


class EngineError(RuntimeError):
    """The engine cannot start, or has died."""


class Engine:
    """A running engine with one model, and adapters of it.

    Attributes:
        model: the folder whose weights it computes with.
        context_tokens: longest prompt and continuation together.
        tokenizer: the model's tokenizer.
        description: the engine's version, its device and the type that it computes in.
    """

    def __init__(self, llm: "AsyncLLM", model: Path) -> None:
        self._llm = llm
        self._ids = itertools.count()
        self._adapter_ids = itertools.count(1)
        self._stopped = False
        self.model = model
        # Tokenising a long text takes longer than the event loop may stand still.
        self._tokenizing = ThreadPoolExecutor(1, "tokenize")
        self.tokenizer: Any = llm.get_tokenizer()
        self.context_tokens: int = llm.model_config.max_model_len
        self.description = _description(llm)

    async def prepare(self, *, samples: bool) -> None:
        """On a CPU allow what vLLM's kernels use, and draw tokens by our own, faster sampler.

        Raises:
            EngineError: the engine refuses it.
        """
        from vllm.platforms import current_platform

        if not current_platform.is_cpu():
            return
        try:
            await self._llm.collective_rpc("prepare_cpu", args=(samples,))
        except Exception as error:
            raise EngineError(f"cannot prepare for a CPU: {error}") from error

    async def tokenize(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The token ids of a text."""

        def encode() -> list[int]:
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=add_special_tokens)
            return ids

        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, encode)

    async def generate(
        self, prompt: list[int], params: "SamplingParams", adapter: "LoRARequest | None" = None
    ) -> AsyncGenerator["RequestOutput", None]:
        """Continue a prompt of token ids; leaving the iteration frees what it held.

        Raises:
            rpc.StatusError: UNAVAILABLE, the engine has died.
        """
        request = self._llm.generate(
            {"prompt_token_ids": prompt}, params, self._next_id(), lora_request=adapter
        )
        async with _alive(), contextlib.aclosing(request) as outputs:
            async for output in outputs:
                yield output

    async def pool(self, prompt: list[int], params: "PoolingParams") -> list[float]:
        """The pooled output of a prompt of token ids; raises as `generate` does."""
        request = self._llm.encode({"prompt_token_ids": prompt}, params, self._next_id())
        async with _alive(), contextlib.aclosing(request) as outputs:
            values: list[float] = (await anext(outputs)).outputs.data.float().tolist()
            return values

    async def reload(self, model: Path) -> None:
        """Compute with the weights of another folder of the same architecture from here on.

        Nothing may be in flight. All cached keys and values are dropped. Adapters have to be added
        again. After a failure the weights are undefined: reload good ones before anything runs, or
        stop the engine.

        Raises:
            EngineError: they could not be loaded.
        """
        self.model = model
        try:
            await self._llm.collective_rpc("exchange_weights", args=(str(model),))
            async with asyncio.timeout(RESET_SECONDS):
                # It refuses while a request that was taken out still holds its blocks.
                while not await self._llm.reset_prefix_cache():  # noqa: ASYNC110 - no event
                    await asyncio.sleep(RESET_POLL_SECONDS)
        except TimeoutError:
            raise EngineError("the KV cache could not be dropped: requests are in flight") from None
        except Exception as error:
            raise EngineError(f"cannot load the weights of {model.name}: {error}") from error

    async def add_adapter(self, name: str, folder: Path) -> "LoRARequest":
        """Load a LoRA adapter beside the model; what requests name it by.

        Raises:
            EngineError: it does not fit.
        """
        from vllm.lora.request import LoRARequest

        # Never used twice: cached keys and values are found by it.
        request = LoRARequest(name, next(self._adapter_ids), str(folder))
        try:
            added = await self._llm.add_lora(request)
        except Exception as error:
            raise EngineError(f"cannot load the adapter of {name}: {error}") from error
        if not added:
            raise EngineError(f"cannot load the adapter of {name}")
        return request

    async def remove_adapter(self, adapter: "LoRARequest") -> None:
        """Give an adapter's room back; nothing of it may be in flight."""
        await self._llm.remove_lora(adapter.lora_int_id)

    @property
    def dead(self) -> bool:
        """Whether it can serve no more, without having been stopped."""
        return not self._stopped and bool(self._llm.errored)

    async def died(self) -> None:
        """Return once the engine can serve no more."""
        while not self.dead:  # noqa: ASYNC110 - vLLM offers a flag, no event
            await asyncio.sleep(DEATH_POLL_SECONDS)

    async def stop(self) -> None:
        """End the engine's processes; blocks the event loop while they end."""
        if self._stopped:
            return
        self._stopped = True
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        # In a thread of its own, vLLM's output loop would meanwhile report the end as a crash.
        self._llm.shutdown(STOP_SECONDS)
        # vLLM's finalizer fails where it is left to the interpreter's exit.
        del self._llm
        gc.collect()

    def _next_id(self) -> str:
        return str(next(self._ids))


@contextlib.asynccontextmanager
async def _alive() -> AsyncGenerator[None, None]:
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError as error:
        raise rpc.StatusError(grpc.StatusCode.UNAVAILABLE, "the engine has died") from error


async def start(
    settings: EngineSettings,
    model: Path,
    *,
    runner: Literal["generate", "pooling"],
    adapters: Adapters | None = None,
) -> Engine:
    """Start an engine on a plain Hugging Face model folder.

    One start at a time in a process: if it is cancelled, it kills the processes that it began.

    Raises:
        EngineError: it did not start; the log has the cause.
    """
    before = set(multiprocessing.active_children())
    building = asyncio.create_task(asyncio.to_thread(_build, settings, model, runner, adapters))
    try:
        async with asyncio.timeout(settings.start_seconds):
            engine = await asyncio.shield(building)
            await engine.prepare(samples=runner == "generate")
            return engine
    except TimeoutError as error:
        raise EngineError(f"not started within {settings.start_seconds:g} s") from error
    finally:
        if not building.done():
            await _abandon(building, before)


async def _abandon(building: asyncio.Task[Engine], before: set[Any]) -> None:
    """Kill what a start began: without its processes vLLM's constructor, which blocks, gives up."""
    while not building.done():
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
        await asyncio.wait({building}, timeout=0.2)
    if not building.cancelled() and building.exception() is None:
        await building.result().stop()


def _build(settings: EngineSettings, model: Path, runner: str, adapters: Adapters | None) -> Engine:
    set_environment(settings)
    from vllm.v1.engine.async_llm import AsyncLLM

    try:
        arguments = engine_arguments(settings, model, runner, adapters)
        return Engine(AsyncLLM.from_engine_args(arguments), model)
    except Exception as error:
        raise EngineError(f"cannot start on {model.name}: {error}") from error


def _description(llm: "AsyncLLM") -> str:
    """Its version, device and type, for records of what was measured."""
    import vllm
    from vllm.platforms import current_platform

    device = "cpu" if current_platform.is_cpu() else current_platform.get_device_name()
    number_type = str(llm.model_config.dtype).removeprefix("torch.")
    return f"vllm {vllm.__version__}, {device}, {number_type}"
