"""How fast candidates are written, to know about those that are cut off; pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Tokens a second of one candidate, as those show that have finished.

    The policy says what a candidate took when it is finished. What one took that is cut off before,
    when its search stops or runs out of time, is estimated from how long it was under way, time in
    the queue included for both.
    """

    tokens: int = 0
    seconds: float = 0.0

    def note(self, tokens: int, seconds: float) -> None:
        """One candidate has finished: its tokens, and the time from its request to its end."""
        self.tokens += tokens
        self.seconds += seconds

    def estimate(self, seconds: float, most: int) -> int:
        """Tokens of a candidate that was cut off after so long, 0 while nothing is known.

        Args:
            seconds: time from its request to its end.
            most: tokens that it was allowed.
        """
        if self.seconds <= 0:
            return 0
        return min(round(self.tokens / self.seconds * seconds), most)
