"""`rstar bench sampler`: what drawing a token of each sequence costs on a CPU.

vLLM's sampler and ours take turns at the same logits, without a model: both are what an engine
does once a step, with a seed of its own for each sequence and the drawn token's log-probability.
"""

import statistics
import time
from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.sampler import Sampler

from services.common.inference.cpu_sampler import CpuSampler
from services.common.inference.seeded import SeededRows

TEMPERATURE = 0.8
SPREAD = 3.0
"""Standard deviation of the logits; neither sampler's cost depends on it."""


def measure(batches: list[int], vocabulary: int, rounds: int) -> dict[str, Any]:
    """Milliseconds a step of both samplers, by sequences in the batch.

    Args:
        batches: sequences.
        vocabulary: tokens.
        rounds: turns of each, after two that are not counted.
    """
    theirs = Sampler()
    ours = CpuSampler(theirs)
    levels = {}
    for count in batches:
        logits = (SPREAD * torch.randn(count, vocabulary)).to(torch.bfloat16)
        plain, seeded = _metadata(count, SeededRows()), _metadata(count, SeededRows())
        plain.generators = plain.generators.plain()
        took: dict[str, list[float]] = {"vllm": [], "rstar": []}
        for _ in range(rounds + 2):
            took["vllm"].append(_milliseconds(theirs, logits, plain))
            took["rstar"].append(_milliseconds(ours, logits, seeded))
        levels[str(count)] = {name: _spread(times[2:]) for name, times in took.items()}
    return {"vocabulary": vocabulary, "threads": torch.get_num_threads(), "ms_per_step": levels}


def _metadata(count: int, generators: SeededRows) -> SamplingMetadata:
    for row in range(count):
        generators[row] = torch.Generator().manual_seed(row)
    nothing = torch.zeros(count)
    return SamplingMetadata(
        temperature=torch.full((count,), TEMPERATURE),
        all_greedy=False,
        all_random=True,
        top_p=None,
        top_k=None,
        generators=generators,
        max_num_logprobs=0,
        no_penalties=True,
        prompt_token_ids=None,
        frequency_penalties=nothing,
        presence_penalties=nothing,
        repetition_penalties=nothing,
        output_token_ids=[[] for _ in range(count)],
        allowed_token_ids_mask=None,
        bad_words_token_ids={},
        logitsprocs=LogitsProcessors(),
    )


def _milliseconds(sampler: Sampler, logits: torch.Tensor, asked: SamplingMetadata) -> float:
    began = time.perf_counter()
    sampler(logits, asked)
    return 1000 * (time.perf_counter() - began)


def _spread(times: list[float]) -> dict[str, Any]:
    low, median, high = statistics.quantiles(times, n=4)
    return {"median": round(median, 2), "quartiles": [round(low, 2), round(high, 2)]}


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [
        f"{figures['vocabulary']} tokens, {figures['threads']} threads; milliseconds a step",
        f"{'sequences':>10} {'vLLM':>8} {'here':>8} {'ratio':>8}",
    ]
    for count, both in figures["ms_per_step"].items():
        theirs, ours = both["vllm"]["median"], both["rstar"]["median"]
        lines.append(f"{count:>10} {theirs:>8.1f} {ours:>8.1f} {ours / theirs:>8.2f}")
    return "\n".join(lines)
