import mmap
import os

import pytest

from rstar.bench.exchange_costs import anonymous_mb, growth


def test_growth_is_that_of_the_second_half() -> None:
    filling = [1000.0 + 50 * number for number in range(10)]
    assert growth([*filling, *[1500.0] * 10]) == 0
    assert growth([*filling, *(1500.0 + 7 * number for number in range(10))]) == pytest.approx(7)
    assert growth([1.0]) == 0


def test_memory_is_what_processes_hold_for_themselves() -> None:
    size = 64 * 1024 * 1024
    before = anonymous_mb([os.getpid()])
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held.write(b"x" * size)
        grown = anonymous_mb([os.getpid(), 2**22 + 1]) - before
    assert grown > 60
