"""Generators of random numbers, one a sequence, whose last draw can be taken back."""

from typing import Any, Self

import torch


class Seeded:
    """A sequence's own generator.

    vLLM draws for each sequence in each step and discards what a sequence drew whose prompt was not
    finished yet; it then sets the generator's offset back, which torch knows on GPUs only: on a CPU
    the engine dies of it. So this answers to the same two names.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self._before = generator.get_state()

    def remember(self) -> Self:
        """What follows may be taken back."""
        self._before = self.generator.get_state()
        return self

    def exponential(self, out: torch.Tensor) -> None:
        """Fill with exponentially distributed numbers."""
        self.remember()
        out.exponential_(generator=self.generator)

    def get_offset(self) -> int:
        """Without meaning of its own; asked for before `set_offset`."""
        return 0

    def set_offset(self, _offset: int) -> None:
        """Take the last draw back."""
        self.generator.set_state(self._before)


class SeededRows(dict[int, Any]):
    """Rows of a batch and their generators, in the place of vLLM's own dictionary."""

    def __setitem__(self, row: int, generator: torch.Generator | Seeded) -> None:
        """Rows move within a batch; a generator becomes one that can be set back when it comes."""
        kept = generator if isinstance(generator, Seeded) else Seeded(generator)
        super().__setitem__(row, kept)

    def plain(self) -> dict[int, torch.Generator]:
        """As torch takes them; what is drawn next may be taken back."""
        return {row: one.remember().generator for row, one in self.items()}
