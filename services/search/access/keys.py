"""API keys: what they are made of and what they allow; pure.

A key is `rstar_<id>_<secret>`. The id is no secret: it is shown, logged and searched by. The secret
is 256 random bits, so the service keeps its SHA-256 alone: a slow password hash guards guessable
secrets against being tried out, and nobody can try out 2^256. A copy of Redis holds no key.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_KEY = re.compile(r"rstar_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
_ID_BYTES = 8
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key allows."""

    SOLVE = "solve"
    """To run searches, and to see and cancel its own."""
    ADMIN = "admin"
    """To see and cancel everybody's searches, and to make, list and revoke keys."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a key may ask for.

    Attributes:
        requests_per_minute: rate of requests, and the largest burst; 0 for no limit.
        searches: searches at once; 0 for no limit.
    """

    requests_per_minute: int = 0
    searches: int = 0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key, its secret left out.

    Attributes:
        id: 16 hex digits, part of the key.
        name: what it is for, in its maker's words.
        scopes: what it allows.
        limits: how much it may ask for.
        created, expires, last_used: unix seconds, the last to a minute; None for never.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    limits: Limits
    created: float
    expires: float | None = None
    last_used: float | None = None


def mint() -> tuple[str, str]:
    """A new key: its id and the whole of it."""
    key_id = secrets.token_hex(_ID_BYTES)
    return key_id, f"rstar_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def digest(key: str) -> str:
    """What is stored of a key: its SHA-256, 64 hex digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def id_of(key: str) -> str | None:
    """The id of a well-formed key; None for what cannot be a key."""
    match = _KEY.fullmatch(key)
    return match.group(1) if match else None


def parse_scopes(words: Iterable[str]) -> frozenset[Scope]:
    """The scopes of their names; ValueError for an unknown one."""
    return frozenset(Scope(word) for word in words)


def bearer(authorization: str | None, api_key: str | None) -> str | None:
    """The key in the headers `Authorization: Bearer` and `X-API-Key`; the first one wins."""
    scheme, _, credential = (authorization or "").partition(" ")
    if scheme.lower() == "bearer" and credential.strip():
        return credential.strip()
    return (api_key or "").strip() or None
