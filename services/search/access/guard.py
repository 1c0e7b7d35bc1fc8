"""Admits callers: who they are, what they may do, how much of it."""

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from services.search.access.errors import Forbidden, QuotaExceeded, Unauthenticated
from services.search.access.key_store import Admission, KeyStore, Refusal
from services.search.access.keys import Limits, Scope, digest, id_of

RATE = "requests"
SEARCHES = "searches"
# A slot outlives its search's seconds by this much, for what adoption and wind-up take.
_SLOT_GRACE_SECONDS = 120.0
_ALL = frozenset(Scope)
_NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was admitted.

    Attributes:
        key_id: id of the API key; None where nobody needs one, and for the key of the settings.
        scopes: what they may do.
        limits: how much.
        left: requests that may follow at once; None without a limit.
        full_seconds: until their whole rate is there again.
    """

    key_id: str | None = None
    scopes: frozenset[Scope] = _ALL
    limits: Limits = _NO_LIMITS
    left: int | None = None
    full_seconds: int = 0

    @property
    def is_admin(self) -> bool:
        """Whether they see what others do."""
        return Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Forbidden where they lack a scope."""
        if scope not in self.scopes:
            raise Forbidden(scope)

    def may_see(self, owner: str | None) -> bool:
        """Whether a search of this key's is theirs to see."""
        return self.is_admin or (owner is not None and owner == self.key_id)

    def headers(self) -> dict[str, str]:
        """RateLimit-Policy and RateLimit of the IETF's draft, where there is a limit."""
        headers = {}
        policies = []
        if self.limits.requests_per_minute:
            policies.append(f'"{RATE}";q={self.limits.requests_per_minute};w=60')
            headers["RateLimit"] = f'"{RATE}";r={self.left or 0};t={self.full_seconds}'
        if self.limits.searches:
            policies.append(f'"{SEARCHES}";q={self.limits.searches};qu="concurrent-requests"')
        if policies:
            headers["RateLimit-Policy"] = ", ".join(policies)
        return headers


class Guard:
    """Admits callers by their keys; everybody where `required` is false.

    Args:
        keys: the keys in Redis.
        required: whether callers must show a key.
        admin_key: a key of the settings, to make the first key with; None for none.
        is_over: whether a search has ended or is unknown, by its id.
    """

    def __init__(
        self,
        keys: KeyStore,
        *,
        required: bool,
        admin_key: str | None,
        is_over: Callable[[str], Awaitable[bool]],
    ) -> None:
        self.keys = keys
        self.required = required
        self._admin_digest = digest(admin_key) if admin_key else None
        self._is_over = is_over

    async def admit(self, key: str | None) -> Caller:
        """The caller of a request with this key, one request counted.

        Unauthenticated for no or no valid key, QuotaExceeded beyond its rate, DependencyError where
        Redis is away.
        """
        if not self.required:
            return Caller()
        if key is None:
            raise Unauthenticated("an API key is needed: Authorization: Bearer <key>")
        if self._admin_digest and hmac.compare_digest(digest(key), self._admin_digest):
            return Caller()
        key_id = id_of(key)
        found = await self.keys.admit(key_id, key) if key_id else Refusal("unknown", 0, 0)
        match found:
            case Admission(key=known, left=left, full_seconds=full):
                rate = known.limits.requests_per_minute
                return Caller(known.id, known.scopes, known.limits, left if rate else None, full)
            case Refusal(reason="rate", limit=limit, retry_seconds=seconds):
                raise QuotaExceeded(RATE, f"{limit} requests a minute", max(1, seconds))
            case Refusal(reason="expired"):
                raise Unauthenticated("this API key has expired")
            case _:
                raise Unauthenticated("no valid API key")

    @contextlib.asynccontextmanager
    async def place(self, caller: Caller, seconds: float) -> AsyncIterator["Place"]:
        """One of the caller's places for running searches, held while a search is begun.

        Given back unless it was handed to the search. QuotaExceeded where all are taken.
        """
        place = Place(self.keys, caller)
        if caller.key_id is not None and caller.limits.searches:
            await self._take(caller.key_id, caller.limits.searches, place.ticket, seconds)
        try:
            yield place
        finally:
            await place.give_back()

    async def _take(self, key_id: str, limit: int, ticket: str, seconds: float) -> None:
        seconds += _SLOT_GRACE_SECONDS
        holders = await self.keys.take_slot(key_id, ticket, limit=limit, seconds=seconds)
        if not holders:
            return
        # Ended searches do not give their places back one by one: nobody may be there to do it.
        over = await asyncio.gather(*(self._over(holder) for holder in holders))
        if any(over):
            ended = [holder for holder, is_over in zip(holders, over, strict=True) if is_over]
            await self.keys.free_slots(key_id, ended)
            if not await self.keys.take_slot(key_id, ticket, limit=limit, seconds=seconds):
                return
        raise QuotaExceeded(SEARCHES, f"{limit} searches at once", 1)

    async def _over(self, holder: str) -> bool:
        return not Place.is_ticket(holder) and await self._is_over(holder)


class Place:
    """A place for a running search."""

    _PREFIX = "begin-"

    def __init__(self, keys: KeyStore, caller: Caller) -> None:
        self._keys = keys
        self._key_id = caller.key_id if caller.limits.searches else None
        self._is_mine = True
        self.ticket = f"{self._PREFIX}{secrets.token_hex(8)}"

    @classmethod
    def is_ticket(cls, holder: str) -> bool:
        """Whether a holder is a search about to be begun, rather than one that has an id."""
        return holder.startswith(cls._PREFIX)

    async def hand_to(self, search_id: str) -> None:
        """Let a search hold it until the search has ended."""
        if self._key_id is not None:
            await self._keys.rename_slot(self._key_id, self.ticket, search_id)
        self._is_mine = False

    async def give_back(self) -> None:
        """Free it, unless a search holds it."""
        if self._is_mine and self._key_id is not None:
            await self._keys.free_slots(self._key_id, [self.ticket])
