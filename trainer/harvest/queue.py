"""The queue of a harvest in Redis: items are leased, committed once, and given back.

A consumer group over one stream. An entry stays pending under the worker that leased it; renewing
resets its idle time, and an entry idle for longer than a lease is an orphan that any worker takes.
It leaves the stream in the same script that records its item as done.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import redis.exceptions

from services.common import logs, redis_clients
from trainer.harvest import scripts

GROUP: Final = "workers"
_FEED_BATCH: Final = 10_000
_MARK_BATCH: Final = 1_000
_FSYNC_MS: Final = 5_000
_RETIRED_SECONDS: Final = 24 * 3600

log = logs.get(__name__)


class QueueDown(Exception):  # noqa: N818 - a state
    """Redis cannot be reached, or refuses."""


class VersionsChanged(Exception):  # noqa: N818 - an event
    """Other models answer than those that the harvest was begun with; the message names both."""


@dataclass(frozen=True, slots=True)
class Lease:
    """An item that a worker holds.

    Attributes:
        entry: id of its entry in the stream.
        item: its number.
        deliveries: how often it was leased, this time among them.
    """

    entry: str
    item: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class Done:
    """What the queue keeps of an item that is done.

    Attributes:
        item: its number.
        level: of its problem.
        solved: whether a right solution was found.
        failed: whether the search gave no result.
    """

    item: int
    level: str
    solved: bool
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a harvest is.

    Attributes:
        total, done, failed: items.
        levels: by level of the problem, items done and solved.
        versions: policy and PPM, as `policy ppm`; empty before the first result.
    """

    total: int
    done: int
    failed: int
    levels: Mapping[str, tuple[int, int]]
    versions: str

    @property
    def solved(self) -> int:
        """Items with a right solution."""
        return sum(solved for _, solved in self.levels.values())


class Queue:
    """The queue of one harvest, as one worker or its coordinator sees it.

    Every method raises QueueDown where Redis is down or too slow; each may then be called again.
    """

    def __init__(
        self, url: str, harvest: str, worker: str, *, lease_seconds: float, timeout: float = 10.0
    ) -> None:
        """Args:
        url: of Redis: redis://, rediss://, unix:// or redis+sentinel://; not a cluster.
        harvest: name of the harvest.
        worker: name of this worker, like no other's.
        lease_seconds: how long an item is held without being renewed.
        timeout: seconds that Redis may take for one answer.
        """
        self._url, self._timeout = url, timeout
        self.worker = worker
        self.lease_seconds = lease_seconds
        self._redis = redis_clients.client(
            url, decode_responses=True, socket_timeout=timeout, socket_connect_timeout=timeout
        )
        base = f"rstar:harvest:{{{harvest}}}"
        self._work, self._done = f"{base}:work", f"{base}:done"
        self._meta, self._staged = f"{base}:meta", f"{base}:staged"
        self._keys = (self._work, self._done, self._meta, self._staged)
        self._lease_ms = round(1000 * lease_seconds)
        self._warned = False
        self._scripts: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def feed(self, total: int) -> None:
        """Put items 0 to total - 1 into the stream; again, only those that are not yet there."""
        for key in self._keys:
            await self._call(self._redis.persist(key))
        while await self._run(scripts.FEED, [self._work, self._meta], GROUP, total, _FEED_BATCH) < (
            total
        ):
            pass

    async def pin(self, versions: str) -> None:
        """Take results of these models only, named as by `parts.versions_of`.

        Raises:
            VersionsChanged: the harvest was begun with others.
        """
        await self._call(self._redis.hsetnx(self._meta, "versions", versions))
        before = await self._call(self._redis.hget(self._meta, "versions"))
        if before != versions:
            raise VersionsChanged(f"the harvest was begun with {before!r}, now {versions!r}")

    async def lease(self, count: int, *, orphans: bool) -> list[Lease]:
        """Up to `count` items: with `orphans`, first those of workers that are gone."""
        keys = [self._work, self._done]
        arguments = (GROUP, self.worker, count, int(orphans), self._lease_ms)
        found = await self._run(scripts.LEASE, keys, *arguments)
        return [Lease(entry, int(item), int(deliveries)) for entry, item, deliveries in found]

    async def renew(self, leases: Iterable[Lease]) -> set[int]:
        """Hold on to leases; the items that others have taken."""
        held = {lease.entry: lease.item for lease in leases}
        lost = await self._run(scripts.RENEW, [self._work], GROUP, self.worker, *held)
        return {held[entry] for entry in lost}

    async def release(self, leases: Iterable[Lease], *, forget: bool) -> None:
        """Give items back, for anybody to take at once; with `forget`, as if never delivered."""
        given = [
            part
            for lease in leases
            for part in (lease.entry, lease.deliveries - 1 if forget else lease.deliveries)
        ]
        if given:
            await self._run(scripts.RELEASE, [self._work], GROUP, self.worker, *given)

    async def commit(
        self, part: str, versions: str, results: Sequence[tuple[Lease, Done]]
    ) -> set[int]:
        """Record a staged part and its items as done, all of them or none.

        Returns:
            The items that others have committed before; nothing is recorded unless it is empty.

        Raises:
            VersionsChanged: the harvest was begun with other models.
        """
        arguments: list[Any] = [GROUP, part, versions]
        for lease, done in results:
            arguments += [lease.entry, *_fields(done)]
        keys = list(self._keys)
        verdict, *rest = await self._run_durably(scripts.COMMIT, keys, *arguments)
        if verdict == "versions":
            raise VersionsChanged(f"the harvest was begun with {rest[0]!r}, now {versions!r}")
        return {int(item) for item in rest}

    async def staged(self) -> set[str]:
        """Parts that are committed, and perhaps not yet published."""
        return set(await self._call(self._redis.smembers(self._staged)))

    async def published(self, part: str) -> None:
        """A part has its final place."""
        await self._call(self._redis.srem(self._staged, part))

    async def done(self) -> set[int]:
        """The items that are recorded as done."""
        # A client of its own, since the others decode what they read as text, and this is bits.
        async with redis_clients.client(self._url, socket_timeout=self._timeout) as raw:
            bits = await self._call(raw.get(self._done)) or b""
        # SETBIT counts from the highest bit of each byte.
        return {8 * i + k for i, byte in enumerate(bits) for k in range(8) if byte >> (7 - k) & 1}

    async def mark(self, versions: str, found: Sequence[Done]) -> int:
        """Record items as done that parts on the disk hold; how many were not known."""
        keys = [self._work, self._done, self._meta]
        marked = 0
        for first in range(0, len(found), _MARK_BATCH):
            batch = found[first : first + _MARK_BATCH]
            fields = [field for one in batch for field in _fields(one)]
            marked += await self._run(scripts.MARK, keys, versions, *fields)
        return marked

    async def again(self, items: Iterable[int]) -> None:
        """Make items work again that were done, but whose part is gone."""
        lost = list(items)
        for first in range(0, len(lost), _MARK_BATCH):
            batch = lost[first : first + _MARK_BATCH]
            await self._run(scripts.AGAIN, [self._work, self._done, self._meta], *batch)

    async def tally(self) -> Tally:
        """How far the harvest is."""
        meta = await self._call(self._redis.hgetall(self._meta))
        levels: dict[str, list[int]] = {}
        for name, value in meta.items():
            if name.startswith("level:"):
                level, _, what = name.removeprefix("level:").rpartition(":")
                levels.setdefault(level, [0, 0])[what == "solved"] = int(value)
        return Tally(
            total=int(meta.get("total", 0)),
            done=int(meta.get("done", 0)),
            failed=int(meta.get("failed", 0)),
            levels={level: (done, solved) for level, (done, solved) in sorted(levels.items())},
            versions=meta.get("versions", ""),
        )

    async def leave(self) -> None:
        """Take this worker's name out of the group; only where it holds nothing."""
        script = (
            "if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then "
            "redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end return 1"
        )
        await self._run(script, [self._work], GROUP, self.worker)

    async def memory(self) -> int:
        """Bytes that the harvest takes in Redis."""
        sizes = [await self._call(self._redis.memory_usage(key, samples=0)) for key in self._keys]
        return sum(size or 0 for size in sizes)

    async def retire(self) -> None:
        """Let Redis forget the harvest in a day, unless it is fed again."""
        for key in self._keys:
            await self._call(self._redis.expire(key, _RETIRED_SECONDS))

    async def _run(self, script: str, keys: list[str], *arguments: Any) -> Any:
        if script not in self._scripts:
            self._scripts[script] = self._redis.register_script(script)
        return await self._call(self._scripts[script](keys=keys, args=arguments))

    async def _run_durably(self, script: str, keys: list[str], *arguments: Any) -> Any:
        """Run a script and wait until the append-only file, where there is one, is on the disk."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.eval(script, len(keys), *keys, *arguments)
        # WAITAOF waits for what its own connection has written.
        pipeline.execute_command("WAITAOF", 1, 0, _FSYNC_MS)
        reply, flushed = await self._call(pipeline.execute(raise_on_error=False))
        if isinstance(reply, Exception):
            raise QueueDown(f"redis: {reply}") from reply
        if isinstance(flushed, redis.exceptions.ResponseError) and not self._warned:
            self._warned = True
            log.warning("redis keeps no append-only file", detail=str(flushed))
        return reply

    async def _call(self, answer: Any) -> Any:
        try:
            return await answer
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            raise QueueDown(f"redis: {type(error).__name__}: {error}") from error


def _fields(done: Done) -> tuple[int, str, int, int]:
    return done.item, done.level, int(done.solved), int(done.failed)
