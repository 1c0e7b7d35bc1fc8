"""What a search waits for while a candidate is followed, step by step."""

import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from services.search.store.events import Waits

# A tenth of a millisecond: far below what is worth looking for.
_DIGITS = 4

T = TypeVar("T")


@dataclass(slots=True)
class _Step:
    policy: float
    sandbox: float = 0.0
    ppm: float = 0.0


class Stopwatch:
    """The times of one candidate's steps, by the ids of their nodes.

    Args:
        policy: seconds until the policy had finished the candidate.
    """

    def __init__(self, policy: float) -> None:
        self._policy = policy
        self._steps: dict[str, _Step] = {}

    def wrote(self, identity: str, apart: float | None = None) -> None:
        """The policy wrote a step: in so many seconds where it did so apart from the candidate."""
        self._steps[identity] = _Step(self._policy if apart is None else apart)

    async def ran(self, identity: str, run: Awaitable[T]) -> T:
        """Wait for the run of a step that was written."""
        begun = time.monotonic()
        result = await run
        self._steps[identity].sandbox = time.monotonic() - begun
        return result

    def scored(self, identities: Iterable[str], seconds: float) -> None:
        """Steps got their scores, together, in so many seconds."""
        for identity in identities:
            if (step := self._steps.get(identity)) is not None:
                step.ppm = seconds

    def waits(self) -> dict[str, Waits]:
        """What each step took that is new."""
        return {
            identity: Waits(
                round(step.policy, _DIGITS), round(step.sandbox, _DIGITS), round(step.ppm, _DIGITS)
            )
            for identity, step in self._steps.items()
        }
