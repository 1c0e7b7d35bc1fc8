"""What became of the processors' time."""

import os
import time

from rstar.bench import machine
from rstar.bench.machine import Processors


def _line(**ticks: int) -> str:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return " ".join(["cpu ", *(str(ticks.get(name, 0)) for name in names), "0", "0"])


def test_the_shares_of_a_span_say_what_was_idle_stolen_and_computed() -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    before = Processors.read(_line(user=7, idle=11, steal=5))
    after = Processors.read(
        _line(
            user=7 + 6 * hertz,
            nice=hertz,
            system=3 * hertz,
            idle=11 + 4 * hertz,
            iowait=hertz,
            irq=hertz,
            softirq=hertz,
            steal=5 + 3 * hertz,
        )
    )
    shares = after.since(before, accounted=9.0)
    assert shares == {"accounted": 0.45, "other": 0.15, "idle": 0.25, "stolen": 0.15}


def test_the_kernels_own_counters_grow_as_a_process_computes() -> None:
    before, own = Processors.now(), time.process_time()
    # Ten ticks, so that one may be lost at either end.
    while (used := time.process_time() - own) < 0.1:
        pass
    shares = Processors.now().since(before, used)
    assert 0 < shares["accounted"] <= 1.2
    assert abs(sum(shares.values()) - 1) < 0.01


def test_the_machine_is_described_by_its_cores_and_loads() -> None:
    known = machine.describe()
    assert known["cores"] == os.cpu_count()
    assert len(known["load"]) == 3
