"""Drawing one token a sequence from logits, on a CPU.

A vocabulary of 150,000 tokens and a batch of 128 are 20 million numbers a step. Noise for each of
them, as in the Gumbel-max trick, and passes over all of them at once, which no cache holds, cost
nearly half of what a step of a model of 0.5 billion parameters takes. Here a few rows at a time are
computed, in buffers that stay, and noise decides first between blocks of tokens, then within one.

Each decision is a race of exponential clocks, the Gumbel-max trick in other words: logits that
differ in their last digits change the winner as rarely as their probabilities differ. The inverse
of the cumulative distribution would need a single random number, but passes a difference on to all
tokens behind it; so the same seed would repeat itself much less often.

Each thread draws its share of the rows by itself. Torch's own threads would meet after every one of
some four hundred operations a step, and each meeting waits for the scheduler where search and
sandbox use the same cores.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Final

import torch
from torch import Tensor

_ROWS: Final = 2
_BLOCK: Final = 128
_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn.

    Attributes:
        tokens: (batch,), int64.
        logprobs: (batch,), float32, natural logarithms: of the tokens at temperature 1.
        ranks: (batch,), int64: 1 for the likeliest token of its row.
    """

    tokens: Tensor
    logprobs: Tensor
    ranks: Tensor


class TokenDraw:
    """Draws for one vocabulary; not for two callers at once.

    Attributes:
        noise: numbers of noise that a row needs.
    """

    def __init__(self, vocabulary: int, threads: int | None = None) -> None:
        """Start its threads: as many as torch has, where no number is given."""
        count = threads or torch.get_num_threads()
        self._shares = [_Share(vocabulary) for _ in range(count)]
        self.noise = self._shares[0].noise
        self._pool = _single_threaded_pool(count)

    def __call__(self, logits: Tensor, temperatures: Tensor, noise: Tensor) -> Drawn:
        """Draw a token of each row.

        Args:
            logits: (batch, vocabulary), of any floating type; left as they are.
            temperatures: (batch,), float32; 0 takes the likeliest token, the first of equals.
            noise: (batch, `noise`), float32, above 0, exponentially distributed: what decides.
        """
        each = -(-len(logits) // len(self._shares))
        parts = [
            (share, *(rows[at : at + each] for rows in (logits, temperatures, noise)))
            for share, at in zip(self._shares, range(0, len(logits), each), strict=False)
        ]
        drawn = [one for part in self._pool.map(_run, parts) for one in part]
        tokens, logprobs, ranks = (torch.cat(column) for column in zip(*drawn, strict=True))
        return Drawn(tokens, logprobs, ranks)


_Part = tuple["_Share", Tensor, Tensor, Tensor]
_Rows = tuple[Tensor, Tensor, Tensor]


def _run(part: _Part) -> Sequence[_Rows]:
    share, logits, temperatures, noise = part
    return share.draw(logits, temperatures, noise)


def _single_threaded_pool(count: int) -> ThreadPoolExecutor:
    """Threads whose operations torch does not split up; everybody else's it does as before."""
    here = torch.get_num_threads()
    started = Barrier(count + 1, timeout=_START_SECONDS)

    def keep_to_oneself() -> None:
        torch.get_num_threads()  # a thread's first call takes over the process's number
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, "draw", initializer=keep_to_oneself)
    for _ in range(count):
        pool.submit(int)
    started.wait()
    # The number of this thread and of new ones, which the last of them has changed.
    torch.set_num_threads(here)
    return pool


class _Share:
    """What one thread draws, and the buffers that it does it in."""

    def __init__(self, vocabulary: int) -> None:
        blocks = -(-vocabulary // _BLOCK)
        self.noise = blocks + _BLOCK
        self._vocabulary = vocabulary
        # What pads the last block has no weight.
        self._logits = torch.full((_ROWS, blocks * _BLOCK), -torch.inf)
        self._weights = torch.zeros(_ROWS, blocks * _BLOCK)

    def draw(self, logits: Tensor, temperatures: Tensor, noise: Tensor) -> list[_Rows]:
        """Tokens, log-probabilities and ranks, some rows at a time."""
        starts = range(0, len(logits), _ROWS)
        # vLLM calls from within inference mode, which is a thread's own.
        with torch.inference_mode():
            return [
                self._draw_rows(
                    *(given[at : at + _ROWS] for given in (logits, temperatures, noise))
                )
                for at in starts
            ]

    def _draw_rows(self, logits: Tensor, temperatures: Tensor, noise: Tensor) -> _Rows:
        x, weights = self._logits[: len(logits)], self._weights[: len(logits)]
        x[:, : self._vocabulary].copy_(logits)
        x.sub_(x.amax(-1, keepdim=True))
        normalizer = torch.exp(x, out=weights).sum(-1)
        random = temperatures > 0
        if random.all():
            tokens = self._race(x, temperatures, noise)
        else:
            tokens = x.argmax(-1)
            if random.any():
                warm = torch.where(random, temperatures, 1.0)
                tokens = torch.where(random, self._race(x, warm, noise), tokens)
        drawn = x.gather(1, tokens[:, None])
        # As numbers: sums of booleans are not vectorized, and 2^24 ones are summed exactly.
        above = torch.gt(x, drawn, out=weights).sum(-1)
        return tokens, drawn[:, 0] - normalizer.log(), above.long() + 1

    def _race(self, x: Tensor, temperatures: Tensor, noise: Tensor) -> Tensor:
        """Tokens by their weights: first the block, by its sum, then the token within it."""
        weights = torch.mul(x, (1.0 / temperatures)[:, None], out=self._weights[: len(x)]).exp_()
        blocks = weights.view(len(x), -1, _BLOCK)
        between, within = noise[:, :-_BLOCK], noise[:, -_BLOCK:]
        # The clock of a weight rings after noise / weight: the first one is the largest inverse.
        block = blocks.sum(-1).div_(between).argmax(-1)
        inside = blocks[torch.arange(len(x)), block].div_(within).argmax(-1)
        # Only logits that are no numbers lead beyond the vocabulary.
        return (block * _BLOCK + inside).clamp_(max=self._vocabulary - 1)
