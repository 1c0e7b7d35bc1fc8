"""A worker: leases items, searches them several at a time, commits what came of them in parts."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import grpc

from services.common import logs
from services.common.grading.grader import GraderUnavailable
from trainer.evaluation.service import SolveFailed
from trainer.found_tree import Judge, graded
from trainer.harvest import parts
from trainer.harvest.patience import patiently
from trainer.harvest.queue import Done, Lease, Queue, QueueDown, VersionsChanged
from trainer.harvest.rows import rows
from trainer.harvest.run import HarvestFolder, Item
from trainer.harvest.searched import Found, Searcher

T = TypeVar("T")

log = logs.get(__name__)


class WorkerStopped(Exception):  # noqa: N818 - an event
    """A worker that cannot go on; its leases are given back, and the message says why."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a worker works.

    Attributes:
        concurrency: searches at once.
        part_items: results that are committed as one part.
        part_seconds: how long the first of them waits for that at most.
        max_deliveries: how often an item is tried before it is recorded as failed.
        poll_seconds: between two looks at a queue that has nothing to give.
        patience_seconds: how long Redis may be away.
    """

    concurrency: int = 8
    part_items: int = 64
    part_seconds: float = 30.0
    max_deliveries: int = 5
    poll_seconds: float = 0.5
    patience_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """A finished search that is not committed yet."""

    lease: Lease
    done: Done
    rows: parts.Rows
    versions: str


@dataclass(slots=True)
class _Hands:
    """What a worker holds, by item: searches under way, results, and those being committed."""

    searching: dict[int, tuple[Lease, asyncio.Task[Result | None]]] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)
    committing: dict[int, Result] = field(default_factory=dict)
    oldest: float = 0.0

    def leases(self) -> list[Lease]:
        """Of all that is held."""
        finished = (*self.results.values(), *self.committing.values())
        return [lease for lease, _ in self.searching.values()] + [one.lease for one in finished]


class Worker:
    """One worker of a harvest."""

    def __init__(
        self, folder: HarvestFolder, queue: Queue, searcher: Searcher, grader: Judge, pace: Pace
    ) -> None:
        self._folder = folder
        self._queue = queue
        self._searcher = searcher
        self._grader = grader
        self._pace = pace
        self._hands = _Hands()
        self._looked = 0.0
        self._commit: asyncio.Task[None] | None = None
        self.committed = 0

    async def work(self) -> None:
        """Work until every item of the harvest is committed.

        Cancelled, it commits what is finished and gives the rest back.

        Raises:
            WorkerStopped: the service refuses the settings or is gone, Redis is gone, or other
                models answer than before.
        """
        try:
            await self._publish_staged()
            renewing = asyncio.create_task(self._renew(), name="renewing")
            try:
                await self._loop(renewing)
            finally:
                renewing.cancel()
        finally:
            await asyncio.shield(self._wind_up())

    async def _loop(self, renewing: asyncio.Task[None]) -> None:
        while True:
            if renewing.done():
                renewing.result()
            leased = await self._lease_more()
            if not self._hands.searching:
                # Nothing to wait for: what is there may be what the others wait for.
                await self._commit_all()
                if not leased and await self._is_over():
                    await self._publish_staged()
                    return
            await self._collect()
            waited = time.monotonic() - self._hands.oldest
            if len(self._hands.results) >= self._pace.part_items or (
                self._hands.results and waited >= self._pace.part_seconds
            ):
                self._begin_commit()

    async def _lease_more(self) -> int:
        free = self._pace.concurrency - len(self._hands.searching)
        if free <= 0:
            return 0
        now = time.monotonic()
        # Whoever is idle looks for orphans all the time, the others once in half a lease.
        orphans = not self._hands.searching or now - self._looked > self._queue.lease_seconds / 2
        if orphans:
            self._looked = now
        leases = await self._patiently(partial(self._queue.lease, free, orphans=orphans))
        held = {lease.item for lease in self._hands.leases()}
        for lease in leases:
            if lease.item in held:
                # This process stalled for longer than its leases, and has found them itself.
                continue
            task = asyncio.create_task(self._search(lease), name=f"item-{lease.item}")
            self._hands.searching[lease.item] = lease, task
        return len(leases)

    async def _is_over(self) -> bool:
        tally = await self._patiently(self._queue.tally)
        return tally.done >= self._folder.settings.items

    async def _collect(self) -> None:
        """Wait for searches, at most until the next look at the queue, and take their results."""
        tasks = [task for _, task in self._hands.searching.values()]
        pause = self._pace.poll_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads workers
        if tasks:
            await asyncio.wait(tasks, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(pause)
        for item, (lease, task) in list(self._hands.searching.items()):
            if not task.done():
                continue
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
            result = None if task.cancelled() else task.result()
            if result is None:
                await self._patiently(partial(self._queue.release, [lease], forget=False))
            else:
                if not self._hands.results:
                    self._hands.oldest = time.monotonic()
                self._hands.results[item] = result
            del self._hands.searching[item]

    # ---- one search ---------------------------------------------------------------------------

    async def _search(self, lease: Lease) -> Result | None:
        """The result of an item; None where it should be tried again."""
        item = self._folder.item(lease.item)
        if lease.deliveries > self._pace.max_deliveries:
            # Whoever held it died of it, or so it seems.
            return self._failure(lease, item, f"given up after {lease.deliveries - 1} deliveries")
        try:
            found = await self._attempt(lease, item)
            trees = await graded(found.trees, item.problem.answer, self._grader)
            return self._result(lease, item, replace(found, trees=trees))
        except SolveFailed as failure:
            return self._judge(lease, item, failure)
        except GraderUnavailable as error:
            raise WorkerStopped(f"answers cannot be graded: {error}") from error
        except ValueError as error:
            return self._failure(lease, item, f"its tree is damaged: {error}")

    async def _attempt(self, lease: Lease, item: Item) -> Found:
        try:
            return await self._searcher.search(item.request)
        except SolveFailed as failure:
            if lease.deliveries == 1 or failure.code is not grpc.StatusCode.INTERNAL:
                raise
        # The key of the request stands for the search that failed: this is to be another one.
        item.request.idempotency_key += f"/{lease.deliveries}"
        return await self._searcher.search(item.request)

    def _judge(self, lease: Lease, item: Item, failure: SolveFailed) -> Result | None:
        if failure.passing:
            raise WorkerStopped(f"the search service is gone: {failure}") from failure
        if failure.code is grpc.StatusCode.INVALID_ARGUMENT:
            if failure.details.startswith("problem"):
                return self._failure(lease, item, str(failure))
            raise WorkerStopped(f"the service refuses the settings: {failure}") from failure
        if lease.deliveries >= self._pace.max_deliveries:
            return self._failure(lease, item, str(failure))
        log.warning("search failed", item=lease.item, delivery=lease.deliveries, why=str(failure))
        return None

    def _result(self, lease: Lease, item: Item, found: Found) -> Result:
        return Result(
            lease,
            Done(item.number, item.problem.level, found.solved),
            rows(item, self._folder.settings.round, found),
            parts.versions_of(found.policy, found.ppm),
        )

    def _failure(self, lease: Lease, item: Item, why: str) -> Result:
        done = Done(item.number, item.problem.level, solved=False, failed=True)
        return Result(lease, done, rows(item, self._folder.settings.round, Found(), why), "")

    # ---- commit -------------------------------------------------------------------------------

    def _begin_commit(self) -> None:
        """Commit the results at hand beside the searches, unless a commit is under way."""
        if self._commit is not None:
            if not self._commit.done():
                return
            self._commit.result()
        self._commit = self._new_commit()

    def _new_commit(self) -> asyncio.Task[None]:
        self._hands.committing |= self._hands.results
        self._hands.results = {}
        return asyncio.create_task(self._commit_parts(), name="commit")

    async def _commit_all(self) -> None:
        """Wait for the commit that is under way, and commit what is left."""
        if self._commit is not None:
            await asyncio.shield(self._commit)
        if self._hands.results or self._hands.committing:
            self._commit = self._new_commit()
            await asyncio.shield(self._commit)

    async def _commit_parts(self) -> None:
        """Commit what is to be committed, the results of each pair of versions as one part."""
        committing = self._hands.committing
        changed: VersionsChanged | None = None
        for versions in sorted({result.versions for result in committing.values()}):
            batch = {n: one for n, one in committing.items() if one.versions == versions}
            try:
                await self._commit_part(versions, batch)
            except VersionsChanged as error:
                changed = error
            except OSError as error:
                raise WorkerStopped(f"a part cannot be written: {error}") from error
        if changed is not None:
            raise WorkerStopped(str(changed)) from changed
        self._hands.committing = {}

    async def _commit_part(self, versions: str, batch: dict[int, Result]) -> None:
        while batch:
            name = await asyncio.to_thread(
                parts.stage, self._folder, [result.rows for result in batch.values()]
            )
            pairs = [(result.lease, result.done) for result in batch.values()]
            taken: set[int] | None = None
            try:
                taken = await self._patiently(partial(self._queue.commit, name, versions, pairs))
            finally:
                if taken:
                    (self._folder.staging / name).unlink(missing_ok=True)
            if not taken:
                await asyncio.to_thread(parts.publish, self._folder, name)
                await self._patiently(partial(self._queue.published, name))
                self.committed += len(batch)
                return
            log.info("items were done by others", items=sorted(taken))
            batch = {number: one for number, one in batch.items() if number not in taken}

    # ---- leases -------------------------------------------------------------------------------

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._queue.lease_seconds / 3)
            leases = self._hands.leases()
            for item in await self._patiently(partial(self._queue.renew, leases)):
                # What was committed meanwhile is not held any more either.
                if item in self._hands.searching:
                    # A stall of this process let the lease run out: another has the item now.
                    log.warning("a lease was lost", item=item)
                    self._hands.searching[item][1].cancel()

    async def _wind_up(self) -> None:
        """Commit what is finished and give everything else back."""
        for _, task in self._hands.searching.values():
            task.cancel()
        tasks = [task for _, task in self._hands.searching.values()]
        await asyncio.gather(*tasks, return_exceptions=True)
        given = [lease for lease, _ in self._hands.searching.values()]
        self._hands.searching.clear()
        try:
            await self._commit_all()
            await self._publish_staged()
        except WorkerStopped as error:
            log.warning("results could not be committed", why=str(error))
            given += self._hands.leases()
        try:
            await self._queue.release(given, forget=True)
            await self._queue.leave()
        except QueueDown as error:
            # They come back by themselves when the leases have run out.
            log.warning("leases could not be given back", why=str(error))

    async def _publish_staged(self) -> None:
        await self._patiently(partial(parts.publish_staged, self._folder, self._queue))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call Redis, again where it is away; WorkerStopped where it stays away."""
        try:
            return await patiently(call, self._pace.patience_seconds)
        except QueueDown as error:
            raise WorkerStopped(str(error)) from error
