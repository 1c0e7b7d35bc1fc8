"""Who gets the next free place of a service: fair between searches; pure, no I/O, no clock.

Max-min fairness over what is held: the next turn goes to the waiting search that holds the fewest,
so that a search with a thousand candidates waits for its places like one with eight, and what the
small ones leave is the large one's. A turn is a few places in a row: what a search asks for
together ends together, and later stages handle it together, where one place each in turn would have
every search wait for the slowest of its calls.
"""

from collections import Counter, deque
from dataclasses import dataclass

# So many searches can have a turn at once at least, where there are places for that.
_TURNS = 12


class ShareFull(RuntimeError):  # noqa: N818 - a state
    """As many places are waited for as may be."""


@dataclass(eq=False, slots=True)
class Claim:
    """A wish for places.

    Attributes:
        key: the search.
        wanted: places that it can use, at least 1.
        number: counts up in the order of claims.
        granted: places that it was given; 0 while it waits.
    """

    key: str
    wanted: int
    number: int
    granted: int = 0


class FairShare:
    """Places of one service, shared by searches.

    Args:
        places: 1 or more.
        chunk: places of a turn, or a twelfth of all places if that is more. They are given in parts
            of at least so many, where so many are wanted, and while others wait in parts of at most
            so many; 1 or more.
        max_waiting: claims that may wait.
    """

    def __init__(self, places: int, *, chunk: int, max_waiting: int) -> None:
        self._places = places
        self._least_chunk = chunk
        self._max_waiting = max_waiting
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[Claim]] = {}
        self._waiting_claims = 0
        self._in_use = 0
        self._next_number = 0
        self._turn = ""
        self._left = 0
        """Places that the search whose turn it is may still take before others."""

    @property
    def places(self) -> int:
        """Places that there are; fewer than are held where they were made fewer."""
        return self._places

    @property
    def _chunk(self) -> int:
        return max(self._least_chunk, self._places // _TURNS)

    @property
    def in_use(self) -> int:
        """Places that are held."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """Claims that wait."""
        return self._waiting_claims

    def held(self, key: str) -> int:
        """Places that a search holds."""
        return self._held[key]

    def claim(self, key: str, wanted: int) -> Claim:
        """Ask for up to `wanted` places: granted at once where `granted` is above 0.

        ShareFull where too many wait already.
        """
        if self._waiting_claims >= self._max_waiting:
            raise ShareFull(f"{self._waiting_claims} calls wait already")
        claim = Claim(key, wanted, self._next_number)
        self._next_number += 1
        self._waiting.setdefault(key, deque()).append(claim)
        self._waiting_claims += 1
        # Nobody but the newcomer can be served: what the others wait for has not changed.
        self._grant()
        return claim

    def withdraw(self, claim: Claim) -> list[Claim]:
        """Take back a claim, whatever became of it; the claims that this granted."""
        if claim.granted:
            return self.release(claim.key, claim.granted)
        self._dequeue(claim)
        return self._grant()

    def release(self, key: str, count: int) -> list[Claim]:
        """Give places back; the claims that this granted."""
        self._held[key] -= count
        self._in_use -= count
        if not self._held[key]:
            del self._held[key]
        return self._grant()

    def resize(self, places: int) -> list[Claim]:
        """Change the number of places; the claims that this granted."""
        self._places = places
        return self._grant()

    def _grant(self) -> list[Claim]:
        granted = []
        while self._waiting:
            claim, left = self._next()
            free = self._places - self._in_use
            # Not in smaller parts than chunks, or one call would become many.
            if free < min(claim.wanted, self._chunk, self._places):
                break
            most = left if len(self._waiting) > 1 else claim.wanted
            self._dequeue(claim)
            claim.granted = min(claim.wanted, most, free)
            self._turn, self._left = claim.key, left - claim.granted
            self._held[claim.key] += claim.granted
            self._in_use += claim.granted
            granted.append(claim)
        return granted

    def _next(self) -> tuple[Claim, int]:
        """The claim to serve next, and what is left of its search's turn."""
        mine = self._waiting.get(self._turn)
        if mine is not None and mine[0].wanted <= self._left:
            return mine[0], self._left
        return self._waiting[min(self._waiting, key=self._rank)][0], self._chunk

    def _rank(self, key: str) -> tuple[int, int]:
        return self._held[key], self._waiting[key][0].number

    def _dequeue(self, claim: Claim) -> None:
        queue = self._waiting[claim.key]
        queue.remove(claim)
        self._waiting_claims -= 1
        if not queue:
            del self._waiting[claim.key]
