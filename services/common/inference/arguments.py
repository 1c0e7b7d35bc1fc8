"""What vLLM's engine is started with: settings, its arguments, the variables that it reads.

vLLM is imported only when an engine starts.
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from services.common.inference.lifeline import Lifeline
from services.common.inference.worker import WorkerParts
from services.common.settings import ServiceSettings

if TYPE_CHECKING:
    from vllm import AsyncEngineArgs

GIB = 1024**3
CPU_CONTEXT_TOKENS = 4096
# Five kinds of layers times some fifty sizes.
PRIMITIVES = 256


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


def set_environment(settings: EngineSettings) -> None:
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


def engine_arguments(
    settings: EngineSettings, model: Path, runner: str, adapters: Adapters | None
) -> "AsyncEngineArgs":
    """The arguments of an engine on a plain Hugging Face model folder."""
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
