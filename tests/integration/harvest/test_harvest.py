"""`rstar harvest` with real worker processes, a real Redis and a scripted search service."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from tests.support.harvests import problems
from tests.support.scripted_search import ScriptedSearch, serving
from trainer.harvest.dataset import searched
from trainer.harvest.fleet import Fleet, FleetDown
from trainer.harvest.harvest import Harvest, harvest
from trainer.harvest.parts import published
from trainer.harvest.queue import Tally
from trainer.harvest.run import BadRun, HarvestFolder

SETTINGS = {"budget": {"rollouts": 4, "seconds": 60}, "round": 2, "terminal_guided": True}


def solution(request: pb.SolveRequest) -> pb.Solution:
    return pb.Solution(
        search_id=request.idempotency_key,
        answer="7",
        stop_reason=pb.STOP_REASON_ROLLOUTS,
        models=pb.Models(policy="policy-1", ppm="ppm-1"),
    )


def tree(search_id: str) -> list[pb.TreeNode]:
    """Two steps; the second ends in 7 or, below another first step, in 8."""
    nodes = [pb.TreeNode(id="root", outcome=pb.NODE_OUTCOME_OPEN, visits=2)]
    for name, answer in (("a", "7"), ("b", "8")):
        first = pb.TreeNode(id=name, parent="root", step=f"# Step 1: {name}\nx = 1")
        first.outcome = pb.NODE_OUTCOME_OPEN
        last = pb.TreeNode(id=f"{name}2", parent=name, step="# Step 2: print\nprint(x)", q=0.5)
        first.samples = last.samples = 1
        last.outcome, last.answer, last.ends_code = pb.NODE_OUTCOME_TERMINAL, answer, True
        last.correct = answer == "7"
        nodes += [first, last]
    return nodes


class Follower:
    """Keeps what it is told, and kills a worker when some searches are done."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.begun: list[Tally] = []
        self.last: Tally | None = None
        self.killed: list[int] = []
        self._kill_at = kill_at

    def begin(self, tally: Tally) -> None:
        self.begun.append(tally)

    def report(self, tally: Tally) -> None:
        self.last = tally
        if self._kill_at is not None and tally.done >= self._kill_at:
            self._kill_at = None
            victim = workers()[0]
            self.killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)


def workers() -> list[psutil.Process]:
    """The worker processes of this one."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "trainer.harvest" in process.cmdline():
                found.append(process)
    return found


def asked(path: Path, redis_url: str, target: str, count: int, **changes: object) -> Harvest:
    worker = {"concurrency": 2, "part_items": 4, "lease_seconds": 1}
    fields: dict[str, object] = {"workers": 3, "worker": worker, "settings": SETTINGS} | changes
    return Harvest(problems(count), path, redis_url=redis_url, target=target, **fields)  # type: ignore[arg-type]  # by name


async def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path, redis_url: str) -> None:
    search, follower = ScriptedSearch(solution, tree), Follower(kill_at=8)
    async with serving(search) as target, asyncio.timeout(120):
        summary = await harvest(asked(tmp_path, redis_url, target, 40), follower)
        assert follower.killed, "the kill must come in the middle"
        assert (summary.done, summary.failed, summary.solved) == (40, 0, 40)
        assert summary.versions == ["policy-1 ppm-1"]
        assert {name: one.problems for name, one in summary.levels.items()} == {
            "easy": 20,
            "hard": 20,
        }
        assert all(request.ground_truth == "7" for request in search.requests)
        # The whole again: everything is there, and nobody is asked.
        before = len(search.requests)
        again = Follower()
        assert await harvest(asked(tmp_path, redis_url, target, 40), again) == summary
        assert len(search.requests) == before
        assert again.begun[0].done == 40
    assert [p.cmdline() for p in workers()] == []
    found = list(searched([tmp_path]))
    assert Counter(one.id for one in found) == Counter(f"p{i}" for i in range(40))
    assert all(len(one.trajectories) == 2 and one.share_right == 0.5 for one in found)
    assert list(HarvestFolder(tmp_path).staging.iterdir()) == []


async def test_cut_off_it_goes_on_where_it_was(tmp_path: Path, redis_url: str) -> None:
    def stick(request: pb.SolveRequest) -> pb.Solution:
        if len(search.requests) >= 10:
            search.hold = asyncio.Event()
        return solution(request)

    search, follower = ScriptedSearch(stick, tree), Follower()
    async with serving(search) as target, asyncio.timeout(120):
        wanted = asked(tmp_path, redis_url, target, 24, workers=1)
        running = asyncio.create_task(harvest(wanted, follower))
        while follower.last is None or not 4 <= follower.last.done < 24:
            await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [p.cmdline() for p in workers()] == []
        search.script, search.hold, follower = solution, None, Follower()
        summary = await harvest(wanted, follower)
    assert follower.begun[0].done >= 4
    assert summary.done == 24


async def test_results_of_other_models_than_were_asked_for_are_not_kept(
    tmp_path: Path, redis_url: str
) -> None:
    """Not even the first one's: a replica may still serve what was served before."""
    async with serving(ScriptedSearch(solution, tree)) as target, asyncio.timeout(60):
        wanted = asked(tmp_path, redis_url, target, 3, workers=1, versions="policy-2 ppm-1")
        with pytest.raises(FleetDown):
            await harvest(wanted, Follower())
        assert published(HarvestFolder(tmp_path)) == []
        right = asked(tmp_path, redis_url, target, 3, workers=1, versions="policy-1 ppm-1")
        with pytest.raises(BadRun, match=r"begun with 'policy-2 ppm-1'"):
            await harvest(right, Follower())


async def test_a_service_that_refuses_ends_the_harvest(tmp_path: Path, redis_url: str) -> None:
    def refuse(request: pb.SolveRequest) -> pb.Solution:
        raise rpc.InvalidField("budget.tokens", "1 to 10")

    async with serving(ScriptedSearch(refuse)) as target, asyncio.timeout(60):
        with pytest.raises(FleetDown):
            await harvest(asked(tmp_path, redis_url, target, 3, workers=1), Follower())
    assert published(HarvestFolder(tmp_path)) == []


async def test_a_worker_whose_settings_are_refused_is_not_started_again(tmp_path: Path) -> None:
    fleet = Fleet(1, {"folder": tmp_path, "concurrency": 0}, restarts=1000)
    async with asyncio.timeout(60):
        with pytest.raises(FleetDown, match="cannot go on"):
            await fleet.run()
