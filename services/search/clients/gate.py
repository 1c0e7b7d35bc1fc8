"""The places of a service, waited for: the I/O side of fair_share."""

import asyncio
from collections.abc import Iterable

from services.search.clients.dependencies import DependencyError
from services.search.clients.fair_share import Claim, FairShare, ShareFull

# Far more than admitted searches can ask for; beyond it something is wrong.
_MAX_WAITING = 100_000
# While others wait, large wishes are served in parts of so many or more, each a call of its own.
_CHUNK = 8


class Gate:
    """Bounds what all searches of this process have in flight towards one service.

    Args:
        name: the service, for errors.
        places: units in flight at once, 1 or more; see `resize`.
    """

    def __init__(self, name: str, places: int) -> None:
        self._name = name
        self._share = FairShare(places, chunk=_CHUNK, max_waiting=_MAX_WAITING)
        self._woken: dict[Claim, asyncio.Future[None]] = {}

    @property
    def share(self) -> FairShare:
        """Who holds what."""
        return self._share

    async def enter(self, key: str, wanted: int = 1) -> int:
        """Wait for places of a search; how many were given, 1 to `wanted`.

        Cancelling the wait takes it out of the queue. DependencyError where too many wait.
        """
        try:
            claim = self._share.claim(key, wanted)
        except ShareFull as error:
            raise DependencyError(self._name, str(error)) from error
        if not claim.granted:
            woken = self._woken[claim] = asyncio.get_running_loop().create_future()
            try:
                await woken
            except asyncio.CancelledError:
                self._wake(self._share.withdraw(claim))
                raise
            finally:
                del self._woken[claim]
        return claim.granted

    def leave(self, key: str, count: int = 1) -> None:
        """Give places back."""
        if count:
            self._wake(self._share.release(key, count))

    def resize(self, places: int) -> None:
        """Change the bound; what is in flight stays."""
        if places != self._share.places:
            self._wake(self._share.resize(places))

    def _wake(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            woken = self._woken[claim]
            # A waiter that was cancelled at this very moment gives its places back by itself.
            if not woken.done():
                woken.set_result(None)
