"""Generators that take a draw back, and rows that keep them."""

import torch

from services.common.inference.seeded import Seeded, SeededRows


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(seeded: Seeded) -> float:
    out = torch.empty(1)
    seeded.exponential(out)
    return float(out)


def test_a_draw_that_is_taken_back_is_drawn_again() -> None:
    seeded = Seeded(generator(5))
    first = draw(seeded)
    second = draw(seeded)
    seeded.set_offset(seeded.get_offset() - 4)
    assert draw(seeded) == second != first


def test_the_same_seed_draws_the_same() -> None:
    one, other = Seeded(generator(5)), Seeded(generator(5))
    assert [draw(one) for _ in range(3)] == [draw(other) for _ in range(3)]


def test_rows_that_move_keep_their_generators() -> None:
    rows = SeededRows()
    rows[0], rows[1] = generator(1), generator(2)
    kept = rows[0]
    rows[0], rows[1] = rows[1], rows[0]
    assert rows[1] is kept


def test_what_plain_generators_draw_can_be_taken_back() -> None:
    rows = SeededRows()
    rows[3] = generator(7)
    first = float(torch.rand((), generator=rows.plain()[3]))
    rows[3].set_offset(0)
    assert float(torch.rand((), generator=rows.plain()[3])) == first
