"""Methods, ladders and known answers, through the real service."""

from typing import Any

import pytest

from services.common.pb.policy.v1 import policy_pb2
from services.search.forest import Forest
from services.search.store.events import Started, TrialTold
from tests.integration.search.conftest import Rig, StartRig
from tests.support.scripted import solution, votes

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def solve(one: Rig, **fields: Any) -> dict[str, Any]:
    """The solution of a problem."""
    response = await one.client.post("/solve", json={"problem": "What is 1 + 1?", **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def logged(one: Rig, search_id: str) -> tuple[Forest, list[TrialTold]]:
    """The forest of a search's log, and its trials."""
    started, *rest = await one.events(search_id)
    assert isinstance(started, Started)
    trials = [event for event in rest if isinstance(event, TrialTold)]
    return Forest.replay(started.config, [trial.expanded for trial in trials]), trials


def stepwise(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """One step a call; the second prints 2, or 3 for every fourth candidate."""
    if not request.steps:
        return solution(f"# Step 1: way {index}\nn = 2", finish=policy_pb2.FINISH_REASON_STEP)
    return solution(f"# Step 2: print\nprint {3 if index == 3 else 2}")


@pytest.mark.parametrize(
    ("method", "reason", "rollouts"),
    [
        ("mcts", "rollouts", 8),
        ("best_of_n", "rollouts", 8),
        ("majority", "rollouts", 8),
        ("greedy", "rollouts", 1),
    ],
)
async def test_methods_spend_the_same_budget_and_their_logs_rebuild_them(
    rig: StartRig, method: str, reason: str, rollouts: int
) -> None:
    async with rig() as one:
        one.policy.reply = votes
        # Two trees of four: neither is settled before all are drawn.
        search = {"method": method} | ({} if method == "greedy" else {"candidates": 4, "seed": 3})
        body = await solve(one, budget={"rollouts": 8}, search=search)
        forest, _ = await logged(one, body["search_id"])
    found = body["answer"], body["usage"]["rollouts"]
    if body["stop_reason"] == "confident":
        assert body["usage"]["rollouts"] < rollouts
    else:
        assert (body["stop_reason"], found[1]) == (reason, rollouts)
    assert found[0] == "2"
    assert (forest.size, forest.rollouts) == (body["usage"]["nodes"], found[1])
    temperatures = {request.sampling.temperature for request in one.policy.requests}
    assert temperatures == ({0.0} if method == "greedy" else {0.8})


async def test_beam_keeps_the_best_steps_by_the_ppm(rig: StartRig) -> None:
    async with rig() as one:
        one.ppm.score = lambda steps: 0.9 if "way 1" in steps[0] else -0.5
        one.policy.reply = stepwise
        search = {"method": "beam", "beam_width": 1, "candidates": 4}
        body = await solve(one, search=search)
        asked = [[step.text for step in request.steps] for request in one.policy.requests]
    assert asked == [[], ["# Step 1: way 1\nn = 2"]]
    assert (body["stop_reason"], body["usage"]["rollouts"]) == ("exhausted", 4)
    assert body["steps"][0]["text"] == "Step 1: way 1"


async def test_trees_have_seeds_of_their_own_and_vote_together(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        search = {"candidates": 4, "trees": 2, "seed": 5, "parallel": 1}
        body = await solve(one, budget={"rollouts": 8}, search=search)
        forest, trials = await logged(one, body["search_id"])
        seeds = {request.sampling.seed for request in one.policy.requests}
    assert {trial.expanded.tree for trial in trials} == {0, 1}
    assert len(seeds) == len(one.policy.requests)
    assert sum(one["trajectories"] for one in body["alternatives"]) == forest.rollouts
    # What one tree has run, the other need not run again.
    assert len(one.sandbox.runs) == len(set(one.sandbox.runs))


async def test_a_known_answer_ends_the_ladder_at_the_rung_that_found_it(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        body = await solve(
            one,
            ground_truth="3",
            budget={"ladder": [3, 8, 16]},
            search={"method": "majority", "candidates": 4, "parallel": 1},
        )
        forest, trials = await logged(one, body["search_id"])
    # Three in four say 2, but 3 is right, and the first rung has not seen it.
    assert (body["stop_reason"], body["usage"]["rollouts"]) == ("solved", 8)
    right = {
        (step.answer, step.correct)
        for trial in trials
        for candidate in trial.expanded.candidates
        for step in candidate.steps
        if step.answer is not None
    }
    assert right == {("2", False), ("3", True)}
    assert forest.ballot.solved


async def test_a_posterior_beyond_the_threshold_ends_a_search(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: solution(f"# Step 1: {index}\nprint 2")
        options = {"method": "majority", "candidates": 4, "parallel": 1, "confidence": 0.95}
        body = await solve(one, budget={"rollouts": 100}, search=options)
    # Four votes that agree: 1 - 0.5 ** 5 = 0.969.
    assert (body["stop_reason"], body["usage"]["rollouts"]) == ("confident", 4)


async def test_what_a_method_fixes_is_refused_by_name(rig: StartRig) -> None:
    async with rig() as one:
        response = await one.client.post(
            "/solve", json={"problem": "x", "search": {"method": "greedy", "temperature": 0.5}}
        )
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert "temperature is 0.0 for method greedy" in error["limit"]
    assert error["field"] == "search"


async def test_what_was_cut_off_at_the_end_is_estimated(rig: StartRig) -> None:
    async with rig() as one:
        # The third and fourth candidates of each call hang.
        one.policy.reply = lambda request, index: (
            None if index > 1 else solution(f"# Step 1: {index}\nprint 2")
        )
        body = await solve(one, budget={"seconds": 0.5}, search={"candidates": 4})
    usage = body["usage"]
    assert body["stop_reason"] == "seconds"
    assert usage["policy_tokens"] == 2 * len("# Step 1: 0\nprint 2")
    # They were under way much longer than the others took, so they may have used all they had.
    assert usage["cut_tokens"] == 2 * 512
