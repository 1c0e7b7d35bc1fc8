"""Idempotency keys: which search a key stands for. Errors: DependencyError("redis")."""

import hashlib
import json
import time
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from services.search.store import keys, scripts
from services.search.store.connection import Connection

# Between a claim and the search that it stands for lies a few round trips' time.
_CREATION_SECONDS = 30.0


class ClaimConflict(ValueError):  # noqa: N818 - names the request's fault
    """An Idempotency-Key that stands for another request."""

    def __init__(self) -> None:
        super().__init__("Idempotency-Key: was used for another request")


class _Claim(BaseModel):
    search_id: str
    fingerprint: str
    at: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """What came of a claim: the search that the key stands for, and whether it is new."""

    search_id: str
    is_new: bool


class Claims:
    """Idempotency keys of all replicas, each apart for every API key."""

    def __init__(self, connection: Connection, *, keep_seconds: int) -> None:
        self._redis = connection
        self._keep_seconds = keep_seconds

    async def claim(
        self, idempotency_key: str, key_id: str | None, fingerprint: str, search_id: str
    ) -> Claimed:
        """Let a key stand for a new search, unless it stands for one already. ClaimConflict."""
        name = keys.claim(_digest(idempotency_key, key_id))
        value = _Claim(search_id=search_id, fingerprint=fingerprint, at=time.time())
        new = value.model_dump_json()
        while True:
            found = await self._redis.command("GET", name)
            if found is None:
                if await self._redis.command("SET", name, new, "NX", "EX", self._keep_seconds):
                    return Claimed(search_id, True)
                continue
            earlier = _read(found)
            if earlier is not None:
                if earlier.fingerprint != fingerprint:
                    raise ClaimConflict
                if await self._stands(earlier):
                    return Claimed(earlier.search_id, False)
            # Its search never came to be, or has expired.
            if await self._redis.script(scripts.REPLACE, [name], found, new, self._keep_seconds):
                return Claimed(search_id, True)

    async def recall(
        self, idempotency_key: str, key_id: str | None, fingerprint: str
    ) -> str | None:
        """The search that a key stands for; None where it stands for none. ClaimConflict."""
        found = await self._redis.command("GET", keys.claim(_digest(idempotency_key, key_id)))
        earlier = _read(found) if found else None
        if earlier is None:
            return None
        if earlier.fingerprint != fingerprint:
            raise ClaimConflict
        return earlier.search_id if await self._stands(earlier) else None

    async def _stands(self, claim: _Claim) -> bool:
        is_young = time.time() - claim.at < _CREATION_SECONDS
        return is_young or bool(await self._redis.command("EXISTS", keys.state(claim.search_id)))

    async def drop(self, idempotency_key: str, key_id: str | None, search_id: str) -> None:
        """Forget a claim whose search was not admitted."""
        name = keys.claim(_digest(idempotency_key, key_id))
        found = await self._redis.command("GET", name)
        claim = _read(found) if found else None
        if claim is not None and claim.search_id == search_id:
            await self._redis.command("DEL", name)


def _digest(idempotency_key: str, key_id: str | None) -> str:
    text = json.dumps([key_id, idempotency_key])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _read(raw: bytes) -> _Claim | None:
    try:
        return _Claim.model_validate_json(raw)
    except ValidationError:
        return None
