"""What the supervisor runs: one unit a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rstar.stack.readiness import Probe


@dataclass(frozen=True, slots=True)
class Unit:
    """One supervised process.

    Attributes:
        name: shown before each of its lines.
        command: the program and its arguments.
        env: its whole environment.
        probe: asks whether it is ready.
        address: where it listens, for people.
        after: units that must be ready before it is started.
        needs: units that must outlive it when all is stopped.
        start_seconds: it fails to start when it is not ready after so long.
        stop_seconds: it is killed when it has not stopped after so long.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    probe: Probe
    address: str
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = field(default=())
    start_seconds: float = 600.0
    stop_seconds: float = 20.0


def stop_order(units: list[Unit]) -> list[list[Unit]]:
    """Groups of units to stop one after the other, so that nothing outlives what it needs.

    Raises:
        ValueError: units need each other in a circle.
    """
    left = list(units)
    groups: list[list[Unit]] = []
    while left:
        needed = {name for unit in left for name in (*unit.needs, *unit.after)}
        group = [unit for unit in left if unit.name not in needed]
        if not group:
            raise ValueError(
                "units need each other in a circle: " + ", ".join(u.name for u in left)
            )
        groups.append(group)
        left = [unit for unit in left if unit.name in needed]
    return groups


@dataclass(slots=True)
class Backoff:
    """Waiting times before restarts, in seconds: doubled each time up to a longest one."""

    first: float = 0.5
    longest: float = 30.0
    _failures: int = 0

    def next(self) -> float:
        """The waiting time before the next restart."""
        wait = min(self.longest, self.first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return wait

    def reset(self) -> None:
        """Begin again with the first: the unit has run well."""
        self._failures = 0
