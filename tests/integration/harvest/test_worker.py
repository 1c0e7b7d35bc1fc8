"""Workers on a real Redis, in this process and in processes that are killed."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from pyarrow import parquet

from rstar.bench.harvest_workers import ScriptedSearcher
from services.common.grading.grader import Grader
from services.common.pb.search.v1 import search_pb2 as pb
from tests.support.harvests import begin
from trainer.evaluation.service import SolveFailed
from trainer.harvest import parts
from trainer.harvest.dataset import searched
from trainer.harvest.queue import Queue
from trainer.harvest.run import HarvestFolder
from trainer.harvest.searched import Found
from trainer.harvest.summary import summarise
from trainer.harvest.worker import Pace, Worker, WorkerStopped

PACE = Pace(concurrency=4, part_items=4, part_seconds=60, poll_seconds=0.05, max_deliveries=2)


class Scripted:
    """Does as `script` says with each request, which may raise, then answers as scripted."""

    def __init__(self, script: Callable[[pb.SolveRequest], None] | None = None) -> None:
        self.script = script
        self.asked: Counter[str] = Counter()
        self.hold = asyncio.Event()
        self.hold.set()
        self.policy = "scripted"

    async def search(self, request: pb.SolveRequest) -> Found:
        self.asked[request.problem] += 1
        if self.script is not None:
            self.script(request)
        await self.hold.wait()
        found = await ScriptedSearcher(nodes=10).search(request)
        return replace(found, policy=self.policy)


@contextlib.asynccontextmanager
async def queue_of(folder: HarvestFolder, url: str, lease: float = 30) -> AsyncIterator[Queue]:
    worker = secrets.token_hex(8)
    async with Queue(url, folder.settings.name, worker, lease_seconds=lease) as queue:
        await queue.feed(folder.settings.items)
        yield queue


async def run(folder: HarvestFolder, queue: Queue, searcher: Scripted, pace: Pace = PACE) -> Worker:
    worker = Worker(folder, queue, searcher, Grader(), pace)
    async with asyncio.timeout(60):
        await worker.work()
    return worker


def roots(folder: HarvestFolder) -> Counter[int]:
    """How often each item has a root in the published parts."""
    tables = [
        parquet.read_table(path, columns=["item", "parent"]) for path in parts.published(folder)
    ]
    rows = [row for table in tables for row in table.to_pylist()]
    return Counter(row["item"] for row in rows if row["parent"] is None)


async def test_every_item_is_searched_and_in_one_part(tmp_path: Path, redis_url: str) -> None:
    folder, searcher = begin(tmp_path, 9, seeds=2), Scripted()
    async with queue_of(folder, redis_url) as queue:
        worker = await run(folder, queue, searcher)
        assert await queue.staged() == set()
    assert worker.committed == 18
    assert roots(folder) == dict.fromkeys(range(18), 1)
    assert set(searcher.asked.values()) == {2}
    assert list(folder.staging.iterdir()) == []


async def test_a_finished_harvest_is_not_searched_again(tmp_path: Path, redis_url: str) -> None:
    folder = begin(tmp_path, 3)
    async with queue_of(folder, redis_url) as queue:
        await run(folder, queue, Scripted())
        again = Scripted()
        await run(folder, queue, again)
    assert not again.asked


async def test_told_to_stop_it_commits_and_gives_back(tmp_path: Path, redis_url: str) -> None:
    folder, searcher = begin(tmp_path, 6), Scripted()
    finished = {"Question 0?", "Question 1?"}

    def hold_the_others(request: pb.SolveRequest) -> None:
        if request.problem not in finished:
            searcher.hold.clear()

    searcher.script = hold_the_others
    async with queue_of(folder, redis_url) as queue:
        worker = Worker(folder, queue, searcher, Grader(), PACE)
        work = asyncio.create_task(worker.work())
        async with asyncio.timeout(20):
            while len(searcher.asked) < 6:
                await asyncio.sleep(0.02)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert roots(folder) == {0: 1, 1: 1}
        left = await queue.lease(9, orphans=True)
    assert sorted((lease.item, lease.deliveries) for lease in left) == [(i, 1) for i in range(2, 6)]


async def test_a_problem_that_is_refused_is_recorded_as_failed(
    tmp_path: Path, redis_url: str
) -> None:
    def refuse(request: pb.SolveRequest) -> None:
        if request.problem == "Question 1?":
            raise SolveFailed(grpc.StatusCode.INVALID_ARGUMENT, "problem: too long")

    folder = begin(tmp_path, 3)
    async with queue_of(folder, redis_url) as queue:
        await run(folder, queue, Scripted(refuse))
        assert (await queue.tally()).failed == 1
    assert roots(folder) == {0: 1, 1: 1, 2: 1}
    assert [problem.id for problem in searched([folder.path])] == ["p0", "p2"]
    assert summarise(folder).failed == 1


async def test_a_search_that_fails_is_tried_again_then_recorded(
    tmp_path: Path, redis_url: str
) -> None:
    def fail(request: pb.SolveRequest) -> None:
        if request.problem == "Question 0?":
            raise SolveFailed(grpc.StatusCode.INTERNAL, "by accident")

    folder, searcher = begin(tmp_path, 2), Scripted(fail)
    async with queue_of(folder, redis_url) as queue:
        await run(folder, queue, searcher)
    # A second delivery asks for the search that failed, then for another one.
    assert searcher.asked["Question 0?"] == 2 * PACE.max_deliveries - 1
    (table,) = [parquet.read_table(path) for path in parts.published(folder) if _fails(path)]
    assert "by accident" in next(row["failure"] for row in table.to_pylist() if row["failure"])


async def test_a_tree_that_is_none_is_recorded_as_failed(tmp_path: Path, redis_url: str) -> None:
    class Broken(Scripted):
        async def search(self, request: pb.SolveRequest) -> Found:
            found = await super().search(request)
            return replace(found, trees=[replace(found.trees[0], nodes=found.trees[0].nodes[1:])])

    folder = begin(tmp_path, 2)
    async with queue_of(folder, redis_url) as queue:
        await run(folder, queue, Broken())
        assert (await queue.tally()).failed == 2
    assert roots(folder) == {0: 1, 1: 1}


async def test_a_disk_that_refuses_stops_the_worker(tmp_path: Path, redis_url: str) -> None:
    folder = begin(tmp_path, 2)
    folder.staging.rmdir()
    async with queue_of(folder, redis_url) as queue:
        with pytest.raises(WorkerStopped, match="cannot be written"):
            await run(folder, queue, Scripted())
        assert len(await queue.lease(9, orphans=True)) == 2, "they were given back"


def _fails(path: Path) -> bool:
    return parquet.read_table(path, columns=["failure"])["failure"].null_count == 0


@pytest.mark.parametrize(
    ("code", "details", "said"),
    [
        (grpc.StatusCode.UNAVAILABLE, "policy is down", "gone"),
        (grpc.StatusCode.INVALID_ARGUMENT, "budget.tokens: 1 to 10", "budget.tokens"),
    ],
)
async def test_what_every_item_would_meet_stops_the_worker(
    tmp_path: Path, redis_url: str, code: grpc.StatusCode, details: str, said: str
) -> None:
    def refuse(request: pb.SolveRequest) -> None:
        raise SolveFailed(code, details)

    folder = begin(tmp_path, 3)
    async with queue_of(folder, redis_url) as queue:
        with pytest.raises(WorkerStopped, match=said):
            await run(folder, queue, Scripted(refuse))
        assert len(await queue.lease(9, orphans=True)) == 3, "they were given back"
    assert roots(folder) == {}


async def test_other_models_stop_the_worker(tmp_path: Path, redis_url: str) -> None:
    folder, searcher = begin(tmp_path, 6), Scripted()

    def upgrade(request: pb.SolveRequest) -> None:
        searcher.policy = "newer" if sum(searcher.asked.values()) > 4 else "scripted"

    searcher.script = upgrade
    pace = Pace(concurrency=1, part_items=2, part_seconds=60, poll_seconds=0.05)
    async with queue_of(folder, redis_url) as queue:
        with pytest.raises(WorkerStopped, match=r"scripted.*newer"):
            await run(folder, queue, searcher, pace)
        assert (await queue.tally()).done == 4


async def test_a_stalled_worker_and_its_heir_commit_an_item_once(
    tmp_path: Path, redis_url: str
) -> None:
    folder = begin(tmp_path, 4)
    async with queue_of(folder, redis_url, 0.3) as one, queue_of(folder, redis_url, 0.3) as two:
        stalled = Worker(folder, one, Scripted(), Grader(), PACE)
        # It has searched everything, and renews nothing, as a process that was stopped.
        leases = await one.lease(4, orphans=False)
        for lease in leases:
            result = await stalled._search(lease)
            assert result is not None
            stalled._hands.results[lease.item] = result
        await asyncio.sleep(0.35)
        await run(folder, two, Scripted())
        await stalled._commit_all()
        assert stalled.committed == 0
    assert roots(folder) == dict.fromkeys(range(4), 1)
    assert list(folder.staging.iterdir()) == []


async def test_a_commit_that_was_cut_off_before_its_rename_is_published(
    tmp_path: Path, redis_url: str
) -> None:
    folder, dead = begin(tmp_path, 4), Scripted()
    async with queue_of(folder, redis_url) as queue:
        worker = Worker(folder, queue, dead, Grader(), PACE)
        pairs = []
        for lease in await queue.lease(2, orphans=False):
            result = await worker._search(lease)
            assert result is not None
            pairs.append(result)
        name = parts.stage(folder, [result.rows for result in pairs])
        await queue.commit(name, "scripted -", [(one.lease, one.done) for one in pairs])
        assert roots(folder) == {}, "staged, and nobody is there to publish it"
        survivor = Scripted()
        await run(folder, queue, survivor)
        assert await queue.staged() == set()
    assert roots(folder) == dict.fromkeys(range(4), 1)
    assert set(survivor.asked) == {"Question 2?", "Question 3?"}


async def test_a_redis_that_forgot_everything_learns_it_from_the_parts(
    tmp_path: Path, redis_url: str
) -> None:
    folder = begin(tmp_path, 5)
    async with queue_of(folder, redis_url) as queue:
        await run(folder, queue, Scripted())
        before = await queue.tally()
        await queue._redis.delete(*queue._keys)
        await parts.reconcile(folder, queue)
        await queue.feed(5)
        assert await queue.tally() == before
        again = Scripted()
        await run(folder, queue, again)
    assert not again.asked
    assert roots(folder) == dict.fromkeys(range(5), 1)


async def test_a_part_that_is_lost_is_searched_again(tmp_path: Path, redis_url: str) -> None:
    folder = begin(tmp_path, 8)
    async with queue_of(folder, redis_url) as queue:
        await run(folder, queue, Scripted())
        lost = parts.published(folder)[0]
        wanted = {one.item for one in parts.index(lost)[0]}
        lost.unlink()
        await parts.reconcile(folder, queue)
        again = Scripted()
        await run(folder, queue, again)
    assert set(again.asked) == {f"Question {item}?" for item in wanted}
    assert roots(folder) == dict.fromkeys(range(8), 1)


async def test_processes_that_are_killed_lose_nothing(tmp_path: Path, redis_url: str) -> None:
    folder = begin(tmp_path, 60)
    command = (sys.executable, "-m", "rstar.bench.harvest_workers", str(folder.path), redis_url)
    options = ("--lease", "1", "--nodes", "10", "--seconds", "0.05")
    async with Queue(redis_url, folder.settings.name, "test", lease_seconds=1) as queue:
        await queue.feed(60)
        workers = [await asyncio.create_subprocess_exec(*command, *options) for _ in range(3)]
        async with asyncio.timeout(100):
            while not 10 <= (await queue.tally()).done < 60:
                await asyncio.sleep(0.02)
            os.kill(workers[0].pid, signal.SIGKILL)
            codes = [await worker.wait() for worker in workers]
        assert codes == [-signal.SIGKILL, 0, 0]
        tally = await queue.tally()
        await parts.publish_staged(folder, queue)
    assert (tally.done, tally.failed) == (60, 0)
    assert roots(folder) == dict.fromkeys(range(60), 1)
    assert summarise(folder).done == 60
