"""What the machine's processors did over a span, as the kernel counts it.

Figures of a span in which the hypervisor took processors away, or something else computed, say so.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

_STAT: Final = Path("/proc/stat")
# The fields of its first line (proc_stat(5)); time of guests is in user and nice already.
_FIELDS: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class Processors:
    """Seconds since the start of the machine, of all processors together.

    Attributes:
        computing: of processes and of the kernel, its own threads and interrupts included.
        idle: with nothing to do, or waiting for a disk.
        stolen: when the hypervisor ran something else although there was something to do.
    """

    computing: float
    idle: float
    stolen: float

    @classmethod
    def now(cls) -> Self:
        """The counters now."""
        with _STAT.open() as lines:
            return cls.read(lines.readline())

    @classmethod
    def read(cls, line: str) -> Self:
        """The first line of /proc/stat."""
        ticks = map(int, line.split()[1 : len(_FIELDS) + 1])
        seconds = {
            name: count / os.sysconf("SC_CLK_TCK")
            for name, count in zip(_FIELDS, ticks, strict=True)
        }
        idle, stolen = seconds["idle"] + seconds["iowait"], seconds["steal"]
        return cls(sum(seconds.values()) - idle - stolen, idle, stolen)

    def since(self, before: "Processors", accounted: float) -> dict[str, float]:
        """What became of all processors' time after `before`: shares that add up to 1.

        Args:
            before: counters at the beginning.
            accounted: seconds that a measurement has found its own processes to have used.

        Returns:
            `accounted`; `other`, computed by whatever else there is, threads of the kernel
            included, below 0 where counts in ticks err; `idle`; `stolen`.
        """
        computing = self.computing - before.computing
        idle, stolen = self.idle - before.idle, self.stolen - before.stolen
        parts = {
            "accounted": accounted,
            "other": computing - accounted,
            "idle": idle,
            "stolen": stolen,
        }
        whole = (computing + idle + stolen) or 1.0
        return {name: round(seconds / whole, 3) for name, seconds in parts.items()}


def describe() -> dict[str, Any]:
    """How large the machine is, and how much it has to do: its load averages."""
    return {"cores": os.cpu_count(), "load": [round(load, 2) for load in os.getloadavg()]}
