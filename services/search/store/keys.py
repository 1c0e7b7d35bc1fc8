"""Names of keys in Redis, and the ids of searches.

All keys of one search share the hash tag `{search_id}`, so that they lie on one node of a cluster
and one script may touch them together. The indexes have a single key a script each.
"""

import secrets
import time

OPEN = "rstar:searches:open"
"""Sorted set: searches that have not ended, by the Redis time (ms) when their lease runs out."""
INDEX = "rstar:searches:index"
"""Sorted set, all scores 0: every search; ids sort by their time of creation."""
NUDGES = "rstar:searches:nudges"
"""Channel: what other replicas should look at now rather than at their next scan."""

_TIME_DIGITS = 11


def new_id() -> str:
    """An id that sorts by time of creation; its random part keeps it from being guessed."""
    return f"{id_floor(time.time())}{secrets.token_hex(8)}"


def id_floor(at: float) -> str:
    """What ids of searches created at or after `at` (unix seconds) do not sort before."""
    return f"{max(int(at * 1000), 0):0{_TIME_DIGITS}x}"


def log(search_id: str) -> str:
    """Stream: the events of a search, with ids 1-0, 2-0, ..."""
    return f"rstar:search:{{{search_id}}}:log"


def lease(search_id: str) -> str:
    """String that expires: the fencing token of the replica that holds the search."""
    return f"rstar:search:{{{search_id}}}:lease"


def state(search_id: str) -> str:
    """Hash: token and length of the log for the scripts, the summary for lists."""
    return f"rstar:search:{{{search_id}}}:state"


def of_key(key_id: str) -> str:
    """Sorted set as INDEX: the searches of one API key."""
    return f"rstar:searches:of:{key_id}"


def claim(digest: str) -> str:
    """String that expires: which search an Idempotency-Key stands for."""
    return f"rstar:claim:{digest}"
