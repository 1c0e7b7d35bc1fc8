"""vLLM's sampler on a CPU, with a faster way for the requests that our services make."""

import dataclasses
from typing import Any

import torch
from vllm.v1.outputs import LogprobsTensors, SamplerOutput
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.sampler import Sampler

from services.common.inference.draw import TokenDraw
from services.common.inference.seeded import SeededRows


class CpuSampler(Sampler):  # type: ignore[misc] # vLLM's types are not looked at
    """Draws by `TokenDraw` where a batch asks for temperatures alone, and as vLLM does otherwise.

    Otherwise is: top-k, top-p, penalties, words that are forbidden or demanded, log-probabilities
    of more than the drawn token. A request's own generator decides its draws, so the same seed
    gives the same tokens where the logits are the same; they are not those of vLLM's own sampler.
    The batch holds them in `SeededRows`.
    """

    def __init__(self, replaced: Sampler) -> None:
        super().__init__(replaced.logprobs_mode, replaced.use_fp64_gumbel)
        self._draws: dict[int, TokenDraw] = {}

    def forward(
        self,
        logits: torch.Tensor,
        sampling_metadata: SamplingMetadata,
        *rest: Any,
        **named: Any,
    ) -> SamplerOutput:
        """One token a row of logits (batch, vocabulary), and its log-probability."""
        if rest or any(named.values()) or not self._plain(sampling_metadata):
            plain = SeededRows.plain(sampling_metadata.generators)
            asked = dataclasses.replace(sampling_metadata, generators=plain)
            output: SamplerOutput = super().forward(logits, asked, *rest, **named)
            return output
        count, vocabulary = logits.shape
        draw = self._draws.get(vocabulary)
        if draw is None:
            draw = self._draws[vocabulary] = TokenDraw(vocabulary)
        temperatures = sampling_metadata.temperature
        if temperatures is None:  # all of them greedy
            temperatures = torch.zeros(count)
        noise = _noise(count, draw.noise, sampling_metadata.generators)
        drawn = draw(logits, temperatures, noise)
        tokens = drawn.tokens.to(torch.int32)[:, None]
        logprobs = LogprobsTensors(tokens, drawn.logprobs[:, None], drawn.ranks)
        asked = sampling_metadata.max_num_logprobs is not None
        return SamplerOutput(tokens, logprobs if asked else None)

    def _plain(self, asked: SamplingMetadata) -> bool:
        holder = asked.thinking_budget_state_holder
        return (
            self.logprobs_mode == "raw_logprobs"
            and asked.max_num_logprobs in (None, 0)
            and not asked.logprob_token_ids
            and asked.top_k is None
            and asked.top_p is None
            and asked.no_penalties
            and asked.allowed_token_ids_mask is None
            and not asked.bad_words_token_ids
            and not (holder is not None and holder.has_tracked_requests())
            and not any(_has_work(one) for one in asked.logitsprocs.all)
        )


def _has_work(processor: Any) -> bool:
    """Whether a logits processor changes anything in the batch at hand; unknown ones may."""
    for name in ("min_p_count", "biases", "min_toks"):
        if hasattr(processor, name):
            return bool(getattr(processor, name))
    return True


def _noise(count: int, size: int, generators: SeededRows) -> torch.Tensor:
    """(count, size), float32, exponentially distributed: by each row's generator if it has one."""
    noise = torch.empty(count, size)
    if len(generators) < count:
        noise.exponential_()
    for row, generator in generators.items():
        generator.exponential(noise[row])
    # Once in 2^24 numbers torch draws a zero, which would divide no weight by no time.
    return noise.clamp_(min=torch.finfo(noise.dtype).tiny)
