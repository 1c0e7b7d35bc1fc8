"""The searches in Redis: their logs, who holds them, their summaries.

A search's log is a stream whose ids count its events: 1-0, 2-0, ... It is written by whoever holds
the newest fencing token (see scripts.py). Every method raises DependencyError("redis") where Redis
is down, too slow, or refuses to write; what was asked may then have happened or not, and may be
asked again.
"""

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from services.search.clients.dependencies import DependencyError
from services.search.options import MAX_SECONDS
from services.search.store import entry, keys, scripts, summary
from services.search.store.connection import Connection, evaluation
from services.search.store.entry import Entry
from services.search.store.errors import LeaseLost, UnknownSearch
from services.search.store.events import Event, LogError, Started, encode
from services.search.store.lease import Lease
from services.search.store.summary import Status, Summary
from services.search.store.tails import Tails

_PAGE = 64
# Ids that are looked at, at most, to fill one page of a filtered list.
_LOOK = 2_000
_CREATION_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Page:
    """Some searches, the newest first; `next` is the `before` of the page after it, if any."""

    items: tuple[Summary, ...]
    next: str | None


class SearchStore:
    """Reads and writes searches on behalf of one replica.

    Attributes:
        replica: its name.
        held: the leases that it holds, by search.
        tails: the logs that are followed here.
        keep_open_seconds: how long a search outlives its last replica, where none takes it over.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        replica: str,
        lease_seconds: float,
        retention_seconds: int,
    ) -> None:
        self._redis = connection
        self._lease_ms = round(lease_seconds * 1000)
        self._retention_seconds = retention_seconds
        self.keep_open_seconds = 2 * max(retention_seconds, MAX_SECONDS)
        self.replica = replica
        self.held: dict[str, Lease] = {}
        self.tails = Tails()

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.close()

    # ---- write ----------------------------------------------------------------------------------

    async def create(self, search_id: str, started: Started, key_id: str | None = None) -> Lease:
        """Begin a search's log; this replica holds it."""
        # Listed before it exists: should this replica die in between, others find an id without
        # a search and drop it. The other way round they would never hear of the search.
        forgotten = keys.id_floor(time.time() - 2 * self.keep_open_seconds)
        indexes = [keys.INDEX] if key_id is None else [keys.INDEX, keys.of_key(key_id)]
        commands = [evaluation(scripts.SCHEDULE, [keys.OPEN], self._lease_ms, "NX", search_id)]
        for index in indexes:
            commands.append(("ZADD", index, 0, search_id))
            commands.append(("ZREMRANGEBYLEX", index, "-", f"({forgotten}"))
            commands.append(("EXPIRE", index, 2 * self.keep_open_seconds))
        await self._all(commands)
        kind, body = encode(started)
        await self._redis.script(
            scripts.CREATE,
            [keys.state(search_id), keys.lease(search_id), keys.log(search_id)],
            *(self._lease_ms, self.keep_open_seconds, kind, body),
            *summary.opening(started, key_id, self.replica),
        )
        lease = self.held[search_id] = Lease(search_id, token=1, seq=1)
        if (tail := self.tails.get(search_id)) is not None:
            tail.add([Entry(entry.entry_id(1), started)])
        return lease

    async def append(
        self, lease: Lease, events: Sequence[Event], *, last: bool = False, batch: str = ""
    ) -> list[str]:
        """Append events in order, in one round trip, and return their ids.

        Args:
            lease: the right to write; its `seq` is counted up.
            events: at least one.
            last: whether the search ends with them: the lease is given back, and all of it expires
                after the retention.
            batch: names these events, so that writing them again after an error, under the same
                name, does not write them twice; by default a new name.

        LeaseLost where another replica has taken the search, or where the log is not as long as
        this replica knows it to be: Redis has lost what it had acknowledged, and the search goes
        on from what is left, in whoever takes it next.
        """
        flat = [part for event in events for part in encode(event)]
        reply = await self._redis.script(
            scripts.APPEND,
            [keys.state(lease.search_id), keys.lease(lease.search_id), keys.log(lease.search_id)],
            *(lease.token, lease.seq, batch or secrets.token_hex(8), self._lease_ms),
            *(self._retention_seconds if last else 0, len(events), *flat),
            *summary.changes(events),
        )
        outcome, length = reply[0].decode(), int(reply[1])
        if outcome == "ahead" and last:
            # An earlier write of ours arrived though its reply did not: the end still has to come.
            lease.seq = length
            return await self.append(lease, events, last=True, batch=batch)
        if outcome != "written":
            self.held.pop(lease.search_id, None)
            if outcome == "behind" and (tail := self.tails.get(lease.search_id)) is not None:
                tail.fail(_shortened())
            raise LeaseLost(lease.search_id, _WHY[outcome])
        lease.seq = length
        ids = [entry.entry_id(length - len(events) + n) for n in range(1, len(events) + 1)]
        if (tail := self.tails.get(lease.search_id)) is not None:
            tail.add([Entry(one, event) for one, event in zip(ids, events, strict=True)])
        if last:
            self.held.pop(lease.search_id, None)
            # Whoever scans would find out as well.
            await self._redis.command("ZREM", keys.OPEN, lease.search_id)
        return ids

    async def request_cancel(self, search_id: str) -> bool:
        """Ask the holder of a search, whoever it is, to end it; whether it was running.

        UnknownSearch where there is none.
        """
        reply = (await self._redis.script(scripts.CANCEL, [keys.state(search_id)])).decode()
        if reply == "gone":
            raise UnknownSearch(search_id)
        if reply == "asked":
            await self._redis.command("PUBLISH", keys.NUDGES, f"cancel {search_id}")
        return bool(reply == "asked")

    # ---- read -----------------------------------------------------------------------------------

    async def entries(
        self, search_id: str, after: str = "0", limit: int | None = None
    ) -> list[Entry]:
        """Entries after an id, the oldest first; empty where there are none. LogError."""
        found: list[Entry] = []
        number = entry.position(after)
        while limit is None or len(found) < limit:
            count = _PAGE if limit is None else min(_PAGE, limit - len(found))
            raw = await self._redis.command(*_read(search_id, number, count))
            found += [entry.parse(one) for one in raw]
            if len(raw) < count:
                break
            number = found[-1].number
        return found

    async def last(self, search_id: str) -> Entry | None:
        """The newest entry of a log; None where there is none. LogError."""
        raw = await self._redis.command("XREVRANGE", keys.log(search_id), "+", "-", "COUNT", 1)
        return entry.parse(raw[0]) if raw else None

    async def follow(self, search_id: str, after: str = "0") -> AsyncGenerator[Entry, None]:
        """Entries after an id, as they are written, up to the search's last.

        Any number of followers share one reader (see Watcher), and need none for a search that
        this replica holds. UnknownSearch, LogError; ValueError for what is no id. DependencyError
        where the search was given up here because Redis is down.
        """
        number = entry.position(after)
        with self.tails.followed(search_id) as tail:
            length, has_ended = await self._length(search_id)
            tail.reach(length)
            # A Redis that came back without its last second may have fewer than were seen.
            number = min(number, length)
            while True:
                known = tail.since(number)
                if known is None:
                    known = await self.entries(search_id, entry.entry_id(number), _PAGE)
                    if not known:
                        raise UnknownSearch(search_id)
                for one in known:
                    number = one.number
                    yield one
                    if one.is_last:
                        return
                if not known:
                    if has_ended and number >= length:
                        return
                    if tail.error is not None:
                        raise tail.error
                    await tail.changed()

    async def end(self, search_id: str) -> Entry:
        """The entry that ends a search, when it has ended. Errors as of `follow`."""
        length, has_ended = await self._length(search_id)
        after = entry.entry_id(length - has_ended)
        async with contextlib.aclosing(self.follow(search_id, after)) as entries:
            async for one in entries:
                if one.is_last:
                    return one
        raise UnknownSearch(search_id)

    async def _length(self, search_id: str) -> tuple[int, bool]:
        """The length of a log, and whether that is all of it."""
        if search_id in self.held:
            return self.held[search_id].seq, False
        length, status = await self._redis.command("HMGET", keys.state(search_id), "seq", "status")
        if length is None:
            raise UnknownSearch(search_id)
        return int(length), status != b"running"

    async def read_tails(self) -> None:
        """Read once what is new in the logs that are followed here and written elsewhere."""
        ids = [one for one in self.tails.ids() if one not in self.held]
        tails = [(one, tail) for one in ids if (tail := self.tails.get(one)) and tail.last]
        commands = [_read(one, tail.last or 0, _PAGE) for one, tail in tails]
        for (_, tail), raw in zip(tails, await self._all(commands), strict=True):
            try:
                tail.add([entry.parse(one) for one in raw])
            except LogError as error:
                tail.fail(error)

    async def drop_dead_tails(self) -> None:
        """End the following of searches that have expired, or whose logs have become shorter."""
        ids = [one for one in self.tails.ids() if one not in self.held]
        tails = [(one, tail, tail.last) for one in ids if (tail := self.tails.get(one))]
        lengths = await self._all([("HGET", keys.state(one), "seq") for one, _, _ in tails])
        for (one, tail, last), length in zip(tails, lengths, strict=True):
            if length is None:
                tail.fail(UnknownSearch(one))
            elif last is not None and int(length) < last:
                tail.fail(_shortened())

    async def summary(self, search_id: str) -> Summary | None:
        """A search at a glance; None where it is unknown."""
        return summary.parse(search_id, await self._redis.command(*_summary(search_id)))

    async def page(
        self,
        before: str | None = None,
        limit: int = 50,
        status: Status | None = None,
        owner_key: str | None = None,
    ) -> Page:
        """Searches that began before a given one, the newest first.

        Args:
            before: id of a search; by default from the newest.
            limit: most to return. A page may hold fewer though there are more: `next` tells.
            status: only searches of this status.
            owner_key: only searches of this API key.
        """
        index = keys.INDEX if owner_key is None else keys.of_key(owner_key)
        items: list[Summary] = []
        for _ in range(_LOOK // limit + 1):
            upper = "+" if before is None else f"({before}"
            found = await self._redis.command(
                *("ZREVRANGEBYLEX", index, upper, "-", "LIMIT", 0, limit)
            )
            ids = [one.decode() for one in found]
            summaries = [
                summary.parse(one, values)
                for one, values in zip(
                    ids, await self._all([_summary(one) for one in ids]), strict=True
                )
            ]
            # One that is just being created is listed before it exists.
            young = keys.id_floor(time.time() - _CREATION_SECONDS)
            gone = [
                one
                for one, what in zip(ids, summaries, strict=True)
                if what is None and one < young
            ]
            if gone:
                await self._redis.command("ZREM", index, *gone)
            for one, what in zip(ids, summaries, strict=True):
                before = one
                if what is not None and status in (None, what.status):
                    items.append(what)
                    if len(items) == limit:
                        return Page(tuple(items), before)
            if len(ids) < limit:
                return Page(tuple(items), None)
        return Page(tuple(items), before)

    async def _all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The results of commands in one pipeline; DependencyError where one of them failed."""
        results = await self._redis.pipeline(commands)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results


def _shortened() -> DependencyError:
    """What followers are told whose entries are gone; they begin again from what is left."""
    return DependencyError("redis", "it has lost the end of the log")


_WHY = {
    "lost": "another replica has taken it, or it has ended",
    "behind": "Redis has lost the end of its log",
    "ahead": "its log is longer than this replica knows",
}


def _read(search_id: str, after: int, count: int) -> tuple[Any, ...]:
    return ("XRANGE", keys.log(search_id), f"({after}-0", "+", "COUNT", count)


def _summary(search_id: str) -> tuple[Any, ...]:
    return ("HMGET", keys.state(search_id), *summary.FIELDS)
