"""vLLM as the policy and the PPM use it: settings, start, requests, death, stop.

The engine runs in processes of its own (an engine core and, on a CPU or with several GPUs, its
workers). vLLM is imported only when an engine starts, so that a service without a model is small.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import logging
import multiprocessing
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import grpc
from pydantic import Field

from services.common import logs, rpc
from services.common.inference.lifeline import Lifeline
from services.common.inference.worker import WorkerParts
from services.common.settings import ServiceSettings

if TYPE_CHECKING:
    from vllm import AsyncEngineArgs, PoolingParams, RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

GIB = 1024**3
CPU_CONTEXT_TOKENS = 4096
DEATH_POLL_SECONDS = 0.25
STOP_SECONDS = 5.0
RESET_SECONDS = 10.0
RESET_POLL_SECONDS = 0.02
# Five kinds of layers times some fifty sizes.
PRIMITIVES = 256

log = logs.get(__name__)


class EngineError(RuntimeError):
    """The engine cannot start, or has died."""


class EngineSettings(ServiceSettings):
    """How an engine uses the machine."""

    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port on which Prometheus' metrics are served over HTTP; 0 for none.",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="Type of weights and activations; auto takes the model's, or float32 on a CPU "
        "that computes no shorter ones.",
    )
    context_tokens: int = Field(
        0,
        ge=0,
        le=1_048_576,
        description="Longest prompt and continuation, in tokens; 0 takes the model's own limit, on "
        f"a CPU at most {CPU_CONTEXT_TOKENS}.",
    )
    batch_sequences: int = Field(
        64, ge=1, le=4096, description="Sequences that the engine computes at once."
    )
    batch_tokens: int = Field(
        0, ge=0, le=1_048_576, description="Tokens of one engine step; 0 takes vLLM's default."
    )
    kv_cache_gib: float = Field(
        0.0,
        ge=0,
        le=4096,
        description="KV cache in GiB; 0 takes 1 on a CPU and what gpu_memory allows on a GPU.",
    )
    gpu_memory: float = Field(
        0.9, gt=0, le=1, description="Share of each GPU's memory that the engine may use."
    )
    tensor_parallel: int = Field(
        1, ge=1, le=64, description="GPUs (or NUMA nodes) that share each layer."
    )
    cpu_threads: str = Field(
        "",
        description="Cores that the engine's threads are pinned to on a CPU, for example 0-3; "
        "empty leaves them on all allowed cores, to share those with other services.",
    )
    eager: bool | None = Field(
        None, description="Skip compiling the model; unset means on a CPU only."
    )
    start_seconds: float = Field(
        600.0, gt=0, le=86_400, description="How long the engine may take to start."
    )


@dataclass(frozen=True, slots=True)
class Adapters:
    """Room for LoRA adapters beside the model.

    Attributes:
        count: adapters at once.
        rank: the largest rank.
    """

    count: int
    rank: int


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
    _set_environment(settings)
    from vllm.v1.engine.async_llm import AsyncLLM

    try:
        arguments = _arguments(settings, model, runner, adapters)
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


def _set_environment(settings: EngineSettings) -> None:
    """vLLM reads these when it is imported, and its child processes inherit them."""
    level = "DEBUG" if settings.log_level == "debug" else "ERROR"
    logging.getLogger("vllm").setLevel(level)
    # Several GPUs' or NUMA nodes' workers must keep to their own cores, which vLLM works out.
    threads = "auto" if settings.tensor_parallel > 1 else "nobind"
    os.environ |= {
        # Models come from the store; nothing is fetched, nothing is reported.
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_LOGGING_LEVEL": level,
        # Forking a process that runs gRPC's threads deadlocks.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_CPU_OMP_THREADS_BIND": settings.cpu_threads or threads,
    }
    # vLLM leaves its shared memory to Python's resource tracker, which frees it and complains.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    # oneDNN keeps what it compiles for every batch size and prompt length that comes, 0.1 to 0.3 MB
    # each, 1024 of them by default: memory that grows for as long as prompts of new lengths come.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(PRIMITIVES))
    # Threads that spin while they wait take the cores from the other services of this machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _arguments(
    settings: EngineSettings, model: Path, runner: str, adapters: Adapters | None
) -> "AsyncEngineArgs":
    from vllm import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    cpu = current_platform.is_cpu()
    # A worker process of its own is waited for in a spinning loop, which on two cores costs a fifth
    # of the tokens. vLLM asks for one because it pins threads there; ours are not pinned.
    inline = cpu and settings.tensor_parallel == 1 and not settings.cpu_threads
    cache_gib = settings.kv_cache_gib or (1.0 if cpu else 0.0)
    return AsyncEngineArgs(
        model=str(model),
        runner=runner,
        dtype=_dtype(settings, cpu=cpu),
        max_model_len=context_tokens(settings, model, cpu=cpu),
        max_num_seqs=settings.batch_sequences,
        max_num_batched_tokens=settings.batch_tokens or None,
        kv_cache_memory_bytes=int(cache_gib * GIB) or None,
        gpu_memory_utilization=settings.gpu_memory,
        tensor_parallel_size=settings.tensor_parallel,
        distributed_executor_backend=UniProcExecutor if inline else None,
        enforce_eager=cpu if settings.eager is None else settings.eager,
        enable_prefix_caching=True,
        # Where two prompts part, half a block is computed again on average: 128 would be slow.
        block_size=32 if cpu else None,
        # A pickle could run code.
        load_format="safetensors",
        use_tqdm_on_load=False,
        worker_extension_cls=f"{WorkerParts.__module__}.{WorkerParts.__qualname__}",
        enable_lora=adapters is not None,
        max_loras=_lora_slots(adapters.count, cpu=cpu) if adapters else 1,
        max_lora_rank=_lora_rank(adapters.rank) if adapters else 16,
        # vLLM puts its own metrics beside ours; nobody reads them without a port.
        disable_log_stats=not settings.metrics_port,
        additional_config=Lifeline(),
    )


def _lora_slots(count: int, *, cpu: bool) -> int:
    """Room for adapters while others take their places, and on a CPU one slot that stays empty.

    vLLM's CPU kernels look up the adapter of a request that has none at index -1, the last slot.
    """
    return 2 * count + (1 if cpu else 0)


def _lora_rank(rank: int) -> int:
    """The smallest rank that vLLM has room for; it knows these alone."""
    return next((size for size in (1, 8, 16, 32, 64, 128, 256, 320, 512) if size >= rank), 512)


def _dtype(settings: EngineSettings, *, cpu: bool) -> str:
    import torch

    # Without AVX-512, x86 has no fast product of bfloat16 matrices: a third of float32's speed.
    if settings.dtype == "auto" and cpu and torch.backends.cpu.get_cpu_capability() == "AVX2":
        return "float32"
    return settings.dtype


def context_tokens(settings: EngineSettings, model: Path, *, cpu: bool) -> int | None:
    """Longest sequence, in tokens; None for the model's own limit."""
    if settings.context_tokens or not cpu:
        return settings.context_tokens or None
    config = json.loads((model / "config.json").read_text("utf-8"))
    own: int = config.get("max_position_embeddings", CPU_CONTEXT_TOKENS)
    return min(CPU_CONTEXT_TOKENS, own)
