"""A circuit breaker: after a row of failures, leave a server alone for a while; pure, no clock."""

from enum import StrEnum


class Circuit(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    """Every call."""
    OPEN = "open"
    """None, until the pause is over."""
    HALF_OPEN = "half_open"
    """One at a time, to see whether the server is back."""


class Breaker:
    """Watches the calls of one server.

    Times are seconds of one monotonic clock, given by the caller. Only failures of transport count:
    a server that answers, even with an error, is there.

    Args:
        threshold: failures in a row that open it.
        pause_seconds: how long it is open at first; doubled each time that the trial call fails.
        longest_seconds: longest pause.
    """

    def __init__(
        self, *, threshold: int = 5, pause_seconds: float = 0.25, longest_seconds: float = 5.0
    ) -> None:
        self._threshold = threshold
        self._first_pause = pause_seconds
        self._longest = longest_seconds
        self._failures = 0
        self._pause = pause_seconds
        self._open_until: float | None = None
        self._trial_until = 0.0

    def state(self, now: float) -> Circuit:
        """What is let through now."""
        if self._open_until is None:
            return Circuit.CLOSED
        return Circuit.OPEN if now < self._open_until else Circuit.HALF_OPEN

    def wait_seconds(self, now: float) -> float:
        """How long until a call may be tried; 0 where one may be now."""
        if self._open_until is None:
            return 0.0
        return max(self._open_until - now, self._trial_until - now, 0.0)

    def admit(self, now: float) -> bool:
        """Whether a call may go; a call that is let through half open is the trial."""
        if self.wait_seconds(now) > 0:
            return False
        if self._open_until is not None:
            # A trial may take long, and need not report at all: another follows after a pause.
            self._trial_until = now + self._pause
        return True

    def succeeded(self) -> None:
        """A call or a health check was answered: let everything through."""
        self._failures = 0
        self._pause = self._first_pause
        self._open_until = None
        self._trial_until = 0.0

    def failed(self, now: float) -> None:
        """A call found nobody."""
        self._failures += 1
        if self._open_until is not None:
            if now < self._open_until:
                return  # begun before it opened: says nothing new
            self._pause = min(2 * self._pause, self._longest)
        elif self._failures < self._threshold:
            return
        self._open_until = now + self._pause
        self._trial_until = 0.0
