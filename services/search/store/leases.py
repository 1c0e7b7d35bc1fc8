"""Who holds which search: taking, renewing and handing over. Errors: DependencyError("redis")."""

from collections.abc import Sequence
from typing import Literal

from services.search.clients.dependencies import DependencyError
from services.search.store import keys, scripts
from services.search.store.connection import Connection, evaluation
from services.search.store.lease import Lease, Taken
from services.search.store.searches import SearchStore

Standing = Literal["held", "lost", "cancel", "ended"]


class Leases:
    """The leases of one replica's store.

    The clock is Redis': a lease is a key that expires there.
    """

    def __init__(self, connection: Connection, store: SearchStore, *, lease_seconds: float) -> None:
        self._redis = connection
        self._store = store
        self._lease_ms = round(lease_seconds * 1000)

    async def renew(self) -> dict[str, Standing]:
        """Renew all that are held, in one round trip; how each stands.

        One that Redis did not answer for is left out: whether it is lost shows at the next write.
        """
        held = list(self._store.held.values())
        if not held:
            return {}
        touch = evaluation(
            scripts.SCHEDULE,
            [keys.OPEN],
            # Also those that are no longer listed: were one dropped by mistake, nobody would ever
            # look for it. One that has just ended is dropped again by whoever looks.
            *(self._lease_ms, "CH", *(lease.search_id for lease in held)),
        )
        renewals = [
            evaluation(
                scripts.RENEW,
                [keys.state(lease.search_id), keys.lease(lease.search_id)],
                *(lease.token, self._lease_ms),
            )
            for lease in held
        ]
        replies = await self._redis.pipeline([*renewals, touch])
        standings: dict[str, Standing] = {}
        for lease, reply in zip(held, replies, strict=False):
            if isinstance(reply, DependencyError):
                continue
            standing: Standing = reply.decode()
            # It may have ended, or been taken anew, while Redis answered.
            if self._store.held.get(lease.search_id) is lease:
                standings[lease.search_id] = standing
                if standing == "lost":
                    del self._store.held[lease.search_id]
        return standings

    async def orphans(self, limit: int) -> list[str]:
        """Up to so many searches whose lease should have run out; nobody else is told of them
        for the time of a lease."""
        found = await self._redis.script(scripts.DUE, [keys.OPEN], self._lease_ms, limit)
        return [one.decode() for one in found]

    async def take(self, search_id: str) -> Taken | None:
        """Take over a search that nobody holds; None where it is held, has ended or is gone."""
        reply = await self._redis.script(
            scripts.TAKE,
            [keys.state(search_id), keys.lease(search_id), keys.log(search_id)],
            *(self._lease_ms, self._store.replica, self._store.keep_open_seconds),
        )
        outcome = reply[0].decode()
        if outcome in ("gone", "ended"):
            await self._redis.command("ZREM", keys.OPEN, search_id)
        if outcome != "taken":
            return None
        _, token, seq, adoptions, wish = reply
        lease = self._store.held[search_id] = Lease(search_id, int(token), int(seq))
        return Taken(lease, int(adoptions), bool(wish))

    async def release(self, leases: Sequence[Lease], *, now: bool = True) -> None:
        """Give searches back in good order, so that others take them at once.

        Unless `now`, not before the leases would have run out.
        """
        for lease in leases:
            if self._store.held.get(lease.search_id) is lease:
                del self._store.held[lease.search_id]
        commands = [
            evaluation(
                scripts.RELEASE,
                [keys.state(lease.search_id), keys.lease(lease.search_id)],
                lease.token,
            )
            for lease in leases
        ]
        if now and leases:
            due = [part for lease in leases for part in (0, lease.search_id)]
            commands.append(("ZADD", keys.OPEN, "XX", *due))
            commands.append(("PUBLISH", keys.NUDGES, "orphans"))
        for result in await self._redis.pipeline(commands):
            if isinstance(result, DependencyError):
                raise result

    async def held_by_anyone(self, search_ids: Sequence[str]) -> bool:
        """Whether any of these searches has a holder."""
        found = await self._redis.pipeline([("EXISTS", keys.lease(one)) for one in search_ids])
        return any(count == 1 for count in found)
