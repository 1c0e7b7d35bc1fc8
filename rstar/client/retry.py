"""When a request is repeated, and after how long."""

import random
from dataclasses import dataclass

from rstar.client.errors import ApiError, Busy, ClientError, Unavailable, Unreachable


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how soon to try again.

    Only what may be repeated is: reading, cancelling, and starting a search, which carries an
    Idempotency-Key. What the service asks for in Retry-After is kept to.

    Attributes:
        attempts: tries in all; 1 for no second one.
        first_pause_seconds: before the second; doubled for each one after.
        longest_pause_seconds: at most, whatever Retry-After says.
    """

    attempts: int = 4
    first_pause_seconds: float = 0.25
    longest_pause_seconds: float = 10.0

    def pause(self, error: ClientError, attempt: int) -> float | None:
        """Seconds to wait after try number `attempt` (from 1) failed; None to give up."""
        if attempt >= self.attempts or not is_passing(error):
            return None
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        backoff: float = self.first_pause_seconds * 2 ** (attempt - 1) * jitter
        asked = error.retry_after_seconds if isinstance(error, ApiError) else None
        return min(max(backoff, asked or 0.0), self.longest_pause_seconds)


def is_passing(error: ClientError) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, Busy | Unavailable | Unreachable)
