"""A search that another replica takes over, among several real sandboxes: its state is there again.

What the policy writes after the takeover stands on variables of steps that ran before it.
"""

import asyncio
import re
import urllib.request

import pytest

from services.common.pb.policy.v1 import policy_pb2
from services.common.pb.sandbox.v1 import sandbox_pb2
from services.search.node import Outcome
from services.search.schemas import SolveRequest
from services.search.store.events import Finished, TrialTold
from tests.integration.search.conftest import Rig, StartRig, until
from tests.support.sandbox_server import CALL_SECONDS, Server, serving
from tests.support.scripted import solution

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = {"lease_seconds": 0.5, "adoption_seconds": 0.1}
REQUEST = SolveRequest.model_validate(
    {
        "problem": "What is 1 + 1?",
        "budget": {"rollouts": 6, "tokens": 100_000},
        "search": {"candidates": 2, "parallel": 1, "answer": "best", "seed": 3},
    }
)


def reply(asked: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """Two steps, the second of which needs the first, and no two alike."""
    number = asked.sampling.seed + index
    last = f"# Step {len(asked.steps) + 1}: {number}\nprint(kept % 2 + 0 * {number})"
    return solution(*([] if asked.steps else [f"# Step 1: {number}\nkept = {number}"]), last)


async def numbers(sandbox: Server) -> dict[str, float]:
    """Its metrics of sessions, steps and replays."""
    found = re.search(r"url=(\S+)", sandbox.said)
    assert found is not None
    page = await asyncio.to_thread(urllib.request.urlopen, found[1], timeout=CALL_SECONDS)
    lines = (line.rpartition(" ") for line in page.read().decode().splitlines())
    every = {name: float(value) for name, _, value in lines if name.startswith("rstar_sandbox_")}
    runs = sum(value for name, value in every.items() if "_runs_total" in name)
    return {
        "sessions": every["rstar_sandbox_sessions"],
        "runs": runs,
        "replays": every["rstar_sandbox_replayed_steps_total"],
    }


async def hand_over(one: Rig) -> str:
    """Begin a search, and stop its manager when the first steps of it have run; its id."""
    one.policy.reply = lambda asked, index: None if asked.steps else reply(asked, index)
    handle = await one.manager.begin(REQUEST)
    await until(lambda: one.policy.open_calls == 1 and len(one.policy.requests) > 1)
    await one.manager.drain(0.2)
    return handle.search_id


@pytest.mark.parametrize("home_dies", [False, True], ids=["home stays", "home dies"])
async def test_what_ran_before_the_takeover_is_there_after_it(
    rig: StartRig, home_dies: bool
) -> None:
    async with (
        serving(workers=1, metrics_port=0, drain_seconds=1) as first,
        serving(workers=1, metrics_port=0, drain_seconds=1) as second,
    ):
        async with rig(**QUICK, sandbox_target=f"{first.address},{second.address}") as one:
            search_id = await hand_over(one)
        before = {sandbox: await numbers(sandbox) for sandbox in (first, second)}
        (home,) = [one for one, its in before.items() if its["sessions"]]
        other = second if home is first else first
        assert (before[home]["runs"] > 0, before[other]["runs"]) == (True, 0)
        if home_dies:
            home.process.kill()
            await home.process.wait()
        # The next replica has them in another order, which must not matter.
        async with rig(**QUICK, sandbox_target=f"{second.address},{first.address}") as next_one:
            next_one.policy.reply = reply
            result = await asyncio.wait_for(next_one.manager.wait(search_id), 60)
            log = await next_one.events(search_id)
            assert any(asked.steps for asked in next_one.policy.requests), "it went on at a node"
        assert (result.usage.rollouts, type(log[-1])) == (6, Finished)
        outcomes = [
            step.outcome
            for event in log
            if isinstance(event, TrialTold)
            for candidate in event.expanded.candidates
            for step in candidate.steps
        ]
        assert Outcome.TERMINAL in outcomes
        assert set(outcomes) <= {Outcome.OPEN, Outcome.TERMINAL}, "no step lacked its past"
        left = await numbers(other)
        assert left["sessions"] == 0
        if home_dies:
            assert left["replays"] > 0
            return
        after = await numbers(home)
        assert (after["sessions"], left["runs"]) == (0, 0)
        mode = await home.stub.Info(sandbox_pb2.InfoRequest(), timeout=CALL_SECONDS)
        if mode.mode == "fork-tree":
            assert after["replays"] == before[home]["replays"], "the state was still alive"
