"""A scripted searcher, and workers of a harvest that use it: the real queue, no models.

`python -m rstar.bench.harvest_workers` is a process of several such workers.
"""

import argparse
import asyncio
import random
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.common import logs
from services.common.grading.grader import Grader
from services.common.pb.search.v1 import search_pb2 as pb
from trainer.found_tree import FoundTree
from trainer.harvest.queue import Queue
from trainer.harvest.run import HarvestFolder
from trainer.harvest.searched import Found
from trainer.harvest.worker import Pace, Worker
from trainer.trees import ROOT_ID, TreeNode


@dataclass(frozen=True, slots=True)
class ScriptedSearcher:
    """Answers at once, or after `seconds`, with a graded tree of about `nodes` nodes."""

    nodes: int = 40
    seconds: float = 0.0

    async def search(self, request: pb.SolveRequest) -> Found:
        """The same tree for the same seed."""
        await asyncio.sleep(self.seconds)
        rng = random.Random(request.search.seed)  # noqa: S311 - no secret
        return Found(
            search=f"scripted-{request.search.seed}",
            trees=[FoundTree(scripted_tree(rng, self.nodes), root_visits=self.nodes)],
            policy="scripted",
            stop_reason="rollouts",
        )


def scripted_tree(rng: random.Random, count: int) -> Sequence[TreeNode]:
    """Solutions of five steps that branch off one another; half of them right."""
    nodes: list[TreeNode] = []
    while len(nodes) < count:
        parent, depth = ROOT_ID, 1
        if nodes and (before := rng.choice(nodes)).outcome == "open":
            parent, depth = before.id, 5
        for level in range(depth, 6):
            ends, right = level == 5, rng.random() < 0.5
            nodes.append(
                TreeNode(
                    id=f"{len(nodes):020x}",
                    parent=parent,
                    text=f"# Step {level}: add the next number\nx{level} = {rng.randrange(1000)}",
                    outcome="terminal" if ends else "open",
                    ends_code=ends,
                    output="7" if ends else "",
                    q=rng.uniform(-1, 1),
                    visits=rng.randrange(1, 9),
                    tokens=20,
                    mean_logprob=-0.5,
                    answer=("7" if right else "8") if ends else None,
                    correct=right if ends else None,
                    policy="scripted",
                )
            )
            parent = nodes[-1].id
    return nodes


async def work(
    folder: Path, url: str, workers: int, lease: float, searcher: ScriptedSearcher
) -> None:
    """Run workers until the harvest is done."""
    opened = HarvestFolder(folder)
    # The scripted trees are graded, so that no grader is ever asked.
    grader = Grader()

    async def one() -> None:
        name = f"scripted-{uuid.uuid4().hex[:12]}"
        async with Queue(url, opened.settings.name, name, lease_seconds=lease) as queue:
            pace = Pace(concurrency=4, part_items=16, part_seconds=5.0)
            await Worker(opened, queue, searcher, grader, pace).work()

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(one())


def main() -> int:
    """Run one process of workers."""
    parser = argparse.ArgumentParser(prog="python -m rstar.bench.harvest_workers")
    parser.add_argument("folder", type=Path)
    parser.add_argument("redis_url")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--lease", type=float, default=10.0, help="seconds")
    parser.add_argument("--nodes", type=int, default=40, help="of each tree")
    parser.add_argument("--seconds", type=float, default=0.0, help="of each search")
    chosen = parser.parse_args()
    logs.configure("harvest", "warning")
    searcher = ScriptedSearcher(chosen.nodes, chosen.seconds)
    asyncio.run(work(chosen.folder, chosen.redis_url, chosen.workers, chosen.lease, searcher))
    return 0


if __name__ == "__main__":
    sys.exit(main())
