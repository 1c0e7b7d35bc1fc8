"""The laboratory's way from problems to training sets, on the real search, sandbox and Redis."""

from pathlib import Path

import pytest

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2 as policy
from services.common.pb.policy.v1 import policy_pb2_grpc
from services.common.pb.search.v1 import search_pb2_grpc
from services.search.rpc_server import SERVICE, SearchServicer
from tests.integration.search.conftest import StartRig
from tests.support import sandbox_server
from tests.support.scripted import serving
from trainer.harvest.dataset import searched
from trainer.harvest.grading import LateGrader
from trainer.harvest.queue import Queue
from trainer.harvest.remote import connect
from trainer.harvest.run import create
from trainer.harvest.summary import summarise
from trainer.harvest.worker import Pace, Worker
from trainer.lab.problems import generate
from trainer.lab.scripted import ErrorRates
from trainer.lab.solver import NAME, Solver
from trainer.selection.pairs import PairRules, select_pairs
from trainer.selection.solutions import SolutionRules, select_solutions

pytestmark = pytest.mark.asyncio(loop_scope="session")

RATES = ErrorRates(first=0.15, each=0.05)
ADD_POLICY = policy_pb2_grpc.add_PolicyServiceServicer_to_server
ADD_SEARCH = search_pb2_grpc.add_SearchServiceServicer_to_server


async def test_problems_become_training_sets(tmp_path: Path, redis_url: str, rig: StartRig) -> None:
    problems = [one.as_problem() for one in generate(18, "train", 4)]
    folder = create(
        tmp_path,
        problems,
        budget={"rollouts": 16, "seconds": 60},
        options={"candidates": 8, "temperature": 1.0},
        terminal_guided=True,
        round=1,
    )
    async with (
        serving(ADD_POLICY, Solver(RATES), NAME) as solver,
        sandbox_server.serving(workers=2, max_wall_ms=5000, max_memory_mib=256) as sandbox,
        rig(policy_target=solver, sandbox_target=sandbox.address, ppm_target="") as one,
        serving(ADD_SEARCH, SearchServicer(one.front), SERVICE) as target,
        Queue(redis_url, folder.settings.name, "lab", lease_seconds=60) as queue,
        connect(target, 30) as searcher,
        LateGrader() as grader,
    ):
        await queue.feed(folder.settings.items)
        pace = Pace(concurrency=4, part_items=6)
        await Worker(folder, queue, searcher, grader, pace).work()
    summary = summarise(folder)
    assert (summary.done, summary.failed, summary.versions) == (18, 0, ["lab-solver -"])
    assert {level: one.problems for level, one in summary.levels.items()} == {
        str(level): 3 for level in range(1, 7)
    }
    # With 16 tries, hardly a problem is left unsolved; and mistakes are made at every length.
    assert summary.solved >= 14
    found = list(searched([tmp_path]))
    texts = {problem.id: problem for problem in found}
    assert set(texts) == {one.id for one in problems}
    chosen = select_solutions(found, SolutionRules())
    assert len(chosen.chosen) >= summary.solved
    assert all(one.solution.correct for one in chosen.chosen)
    pairs = select_pairs(found, PairRules())
    assert pairs.pairs, "right and wrong solutions of one problem"
    assert all(one.margin > 0 for one in pairs.pairs)


async def test_the_solver_keeps_the_contract() -> None:
    problem = next(generate(1, "train", 4, [3]))
    sampling = policy.Sampling(temperature=1, max_tokens=500, seed=2**64 - 1)
    request = policy.ProposeRequest(
        search_id="s", problem=problem.question, count=4, sampling=sampling
    )
    async with (
        serving(ADD_POLICY, Solver(RATES), NAME) as target,
        rpc.channel(target) as channel,
    ):
        stub = policy_pb2_grpc.PolicyServiceStub(channel)
        whole = [reply async for reply in stub.Propose(request)]
        assert sorted(reply.index for reply in whole) == [0, 1, 2, 3]
        assert {reply.finish_reason for reply in whole} == {policy.FINISH_REASON_CODE}
        assert [reply async for reply in stub.Propose(request)] == whole, "the same seed"
        request.sampling.max_steps = 1
        (first, *_) = [reply async for reply in stub.Propose(request)]
        assert (len(first.steps), first.finish_reason) == (1, policy.FINISH_REASON_STEP)
        request.sampling.max_steps, request.sampling.max_tokens = 0, 30
        (cut, *_) = [reply async for reply in stub.Propose(request)]
        assert (len(cut.steps), cut.finish_reason) == (1, policy.FINISH_REASON_LENGTH)
        request.problem = "What is 1 + 1?"
        with pytest.raises(Exception, match="problem"):
            [reply async for reply in stub.Propose(request)]
