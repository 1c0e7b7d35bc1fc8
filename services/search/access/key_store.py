"""API keys and their quotas in Redis.

A key's record, bucket and slots share a hash tag, so that each script stays on one node of a
cluster. Time is Redis' own: replicas need not agree on it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.search.access.keys import ApiKey, Limits, digest, parse_scopes
from services.search.store.connection import Connection
from services.search.store.scripts import Script

_INDEX = "rstar:keys"

# The record if the digest is right and the key has not expired, and its bucket after one request.
# Returns {verdict, tokens left, milliseconds, field, value, ...}; milliseconds until the bucket is
# full again or, where it is empty, until it holds a request.
_ADMIT = Script("""
local record = redis.call('HGETALL', KEYS[1])
local of = {}
for i = 1, #record, 2 do of[record[i]] = record[i + 1] end
if of.digest ~= ARGV[1] then return {'unknown', 0, 0} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if of.expires ~= '' and now >= of.expires * 1000 then return {'expired', 0, 0} end
local rate = tonumber(of.requests_per_minute)
local left, wait = 0, 0
if rate > 0 then
  local a_request = 60000 / rate
  local bucket = redis.call('HMGET', KEYS[2], 'tokens', 'at')
  local tokens = math.min(rate, (bucket[1] or rate) + (now - (bucket[2] or now)) / a_request)
  if tokens < 1 then
    return {'rate', rate, math.ceil((1 - tokens) * a_request)}
  end
  tokens = tokens - 1
  redis.call('HSET', KEYS[2], 'tokens', tostring(tokens), 'at', now)
  redis.call('PEXPIRE', KEYS[2], 120000)
  left, wait = math.floor(tokens), math.ceil((rate - tokens) * a_request)
end
if now - (tonumber(of.last_used) or 0) * 1000 > 60000 then
  redis.call('HSET', KEYS[1], 'last_used', time[1])
end
local reply = {'ok', left, wait}
for i = 1, #record do reply[i + 3] = record[i] end
return reply
""")

# A slot for a ticket where fewer than the limit are taken; else the tickets that take them.
_TAKE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
  return redis.call('ZRANGE', KEYS[1], 0, -1)
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], last[2])
return {}
""")

# Gives a slot, and what is left of its time, to another ticket.
_RENAME = Script("""
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZADD', KEYS[1], score, ARGV[2])
end
return 0
""")


@dataclass(frozen=True, slots=True)
class Admission:
    """A key that was found to be valid, and its rate after this request.

    Attributes:
        key: the key.
        left: requests that may follow at once; of no meaning without a limit.
        full_seconds: until the whole of its rate is there again.
    """

    key: ApiKey
    left: int
    full_seconds: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a key is not admitted.

    Attributes:
        reason: "unknown", "expired" or "rate".
        limit: for "rate", requests a minute.
        retry_seconds: for "rate", until a request is free.
    """

    reason: str
    limit: int
    retry_seconds: int


class KeyStore:
    """Keeps keys, and counts what they ask for; DependencyError("redis") where Redis is away."""

    def __init__(self, redis: Connection) -> None:
        self._redis = redis

    @staticmethod
    def record(key_id: str) -> str:
        """Redis' key of a key's record."""
        return f"rstar:key:{{{key_id}}}"

    @classmethod
    def bucket(cls, key_id: str) -> str:
        """Redis' key of the tokens that a key has left."""
        return f"{cls.record(key_id)}:bucket"

    @classmethod
    def slots(cls, key_id: str) -> str:
        """Redis' key of the searches that a key has running."""
        return f"{cls.record(key_id)}:slots"

    async def add(self, key: ApiKey, secret: str) -> None:
        """Keep a new key; `secret` is the whole key, of which the digest is stored."""
        fields = {
            "digest": digest(secret),
            "name": key.name,
            "scopes": " ".join(sorted(key.scopes)),
            "requests_per_minute": key.limits.requests_per_minute,
            "searches": key.limits.searches,
            "created": key.created,
            "expires": "" if key.expires is None else key.expires,
            "last_used": "",
        }
        # An id in the index without a record is passed over; a record without an id would be lost.
        await self._redis.command("SADD", _INDEX, key.id)
        flat = [part for item in fields.items() for part in item]
        await self._redis.command("HSET", self.record(key.id), *flat)

    async def get(self, key_id: str) -> ApiKey | None:
        """A key by its id; None where there is none."""
        fields = _texts(await self._redis.command("HGETALL", self.record(key_id)))
        return _key(key_id, fields) if fields else None

    async def all(self) -> list[ApiKey]:
        """All keys, the oldest first."""
        ids = [_text(one) for one in await self._redis.command("SMEMBERS", _INDEX)]
        found = [await self.get(key_id) for key_id in ids]
        return sorted((key for key in found if key), key=lambda key: (key.created, key.id))

    async def remove(self, key_id: str) -> bool:
        """Revoke a key from this moment on; whether there was one."""
        names = (self.record(key_id), self.bucket(key_id), self.slots(key_id))
        removed = await self._redis.command("DEL", *names)
        await self._redis.command("SREM", _INDEX, key_id)
        return bool(removed)

    async def admit(self, key_id: str, secret: str) -> Admission | Refusal:
        """Check a key and count one request against its rate, in one round trip."""
        names = (self.record(key_id), self.bucket(key_id))
        reply = await self._redis.script(_ADMIT, names, digest(secret))
        verdict, left, milliseconds = _text(reply[0]), int(reply[1]), int(reply[2])
        seconds = math.ceil(milliseconds / 1000)
        if verdict != "ok":
            return Refusal(verdict, left, seconds)
        flat = [_text(one) for one in reply[3:]]
        key = _key(key_id, dict(zip(flat[::2], flat[1::2], strict=True)))
        return Admission(key, left, seconds)

    async def take_slot(
        self, key_id: str, ticket: str, *, limit: int, seconds: float
    ) -> Sequence[str]:
        """Take one of a key's places for running searches, for at most so many seconds.

        Returns:
            Nothing where a place was free, else the tickets that hold them all.
        """
        milliseconds = round(seconds * 1000)
        name = self.slots(key_id)
        reply = await self._redis.script(_TAKE, [name], limit, ticket, milliseconds)
        return [_text(one) for one in reply]

    async def rename_slot(self, key_id: str, ticket: str, new: str) -> None:
        """Let another ticket hold a place."""
        await self._redis.script(_RENAME, [self.slots(key_id)], ticket, new)

    async def free_slots(self, key_id: str, tickets: Iterable[str]) -> None:
        """Give places back; unknown tickets are ignored."""
        await self._redis.command("ZREM", self.slots(key_id), *tickets)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _texts(fields: Mapping[bytes | str, bytes | str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}


def _key(key_id: str, fields: Mapping[str, str]) -> ApiKey:
    return ApiKey(
        id=key_id,
        name=fields["name"],
        scopes=parse_scopes(fields["scopes"].split()),
        limits=Limits(int(fields["requests_per_minute"]), int(fields["searches"])),
        created=float(fields["created"]),
        expires=_moment(fields["expires"]),
        last_used=_moment(fields["last_used"]),
    )


def _moment(text: str) -> float | None:
    return float(text) if text else None
