"""POST /solve from end to end, with scripted models: answers, logs, faults, callers who leave."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import redis.asyncio

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2
from services.search.forest import Forest
from services.search.node import Outcome
from services.search.store import keys
from services.search.store.events import Finished, Started, TrialTold
from tests.integration.search.conftest import Rig, StartRig, until
from tests.support.scripted import solution, votes

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROBLEM = {"problem": "What is 1 + 1?"}
JSON = {"Content-Type": "application/json"}


async def test_a_problem_is_answered_with_everything_that_was_promised(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        search = {"candidates": 4, "answer": "majority", "seed": 7}
        budget = {"rollouts": 4, "tokens": 5000, "seconds": 20.0}
        reply = await one.client.post(
            "/solve", json={**PROBLEM, "budget": budget, "search": search}
        )
        body = reply.json()
        assert reply.status_code == 200, body
        assert (body["answer"], body["confidence"]) == ("2", 0.75)
        assert body["stop_reason"] == "rollouts"
        assert body["models"] == {"policy": "scripted", "ppm": None}
        assert body["guided"] is False
        assert {(a["answer"], a["trajectories"]) for a in body["alternatives"]} == {
            ("2", 3),
            ("3", 1),
        }
        first, last = body["steps"]
        assert first["text"].startswith("Step 1: count")
        assert (first["code"], last["output"]) == ("n = 2", first["output"] + last["output"])
        usage = body["usage"]
        assert (usage["rollouts"], usage["nodes"], usage["sandbox_runs"]) == (4, 8, 8)
        assert usage["policy_tokens"] == sum(
            len(step.text)
            for index in range(4)
            for step in votes(policy_pb2.ProposeRequest(), index).steps
        )
        request = one.policy.requests[0]
        assert (request.problem, request.count) == (PROBLEM["problem"], 4)
        assert (request.sampling.seed, request.sampling.max_steps) == (7, 0)


async def test_the_log_alone_rebuilds_the_tree(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        body = (
            await one.client.post("/solve", json={**PROBLEM, "search": {"candidates": 4}})
        ).json()
        started, *trials, finished = await one.events(body["search_id"])
        assert isinstance(started, Started)
        assert isinstance(finished, Finished)
        assert finished.solution.model_dump() == body
        assert all(isinstance(event, TrialTold) for event in trials)
        told = [trial.expanded for trial in trials if isinstance(trial, TrialTold)]
        forest = Forest.replay(started.config, told)
        assert forest.size == body["usage"]["nodes"]
        assert forest.rollouts == body["usage"]["rollouts"]


async def test_a_failing_step_is_dropped_and_its_error_kept(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: (
            solution("# Step 1\nraise ValueError", "# Step 2\nprint 9")
            if index == 0
            else solution("# Step 1\nprint 5")
        )
        options = {"budget": {"rollouts": 2}, "search": {"candidates": 2}}
        body = (await one.client.post("/solve", json={**PROBLEM, **options})).json()
        assert body["answer"] == "5"
        assert [a["answer"] for a in body["alternatives"]] == ["5"]
        trials = [e for e in await one.events(body["search_id"]) if isinstance(e, TrialTold)]
        steps = [step for c in trials[0].expanded.candidates for step in c.steps]
        (failed,) = [step for step in steps if step.outcome is Outcome.FAILED]
        assert failed.error == "ValueError: scripted (line 1)"


async def test_identical_candidates_run_once(rig: StartRig) -> None:
    async with rig() as one:
        options = {"budget": {"rollouts": 8}, "search": {"candidates": 8}}
        body = (await one.client.post("/solve", json={**PROBLEM, **options})).json()
        assert (body["usage"]["nodes"], body["usage"]["sandbox_runs"]) == (1, 1)
        assert body["alternatives"] == [{"answer": "2", "weight": 1.0, "trajectories": 8}]


async def test_a_search_stops_when_nothing_can_change_the_answer(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: solution(
            f"# Step {len(request.steps)}.{request.sampling.seed + index}\nx = 1",
            "# Step 9\nprint 2",
        )
        options = {"budget": {"rollouts": 7}, "search": {"candidates": 4, "parallel": 1}}
        body = (await one.client.post("/solve", json={**PROBLEM, **options})).json()
        assert body["stop_reason"] == "confident"
        assert body["usage"]["rollouts"] == 4


async def test_a_model_that_writes_its_answer_is_shown_the_output(rig: StartRig) -> None:
    def reply(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
        if request.steps:
            assert request.steps[-1].ends_code
            said = f"The result is \\boxed{{{request.steps[-1].output}}}."
            return solution(said, finish=policy_pb2.FINISH_REASON_ANSWER)
        return solution("# Step 1\nprint 2")

    async with rig() as one:
        one.policy.reply = reply
        one.policy.source = policy_pb2.ANSWER_SOURCE_TEXT
        options = {"budget": {"rollouts": 1}, "search": {"candidates": 1}}
        body = (await one.client.post("/solve", json={**PROBLEM, **options})).json()
        assert body["answer"] == "2"
        assert body["steps"][-1]["text"] == "The result is \\boxed{2}."
        assert body["steps"][-1]["code"] == ""


async def test_a_ppm_guides_the_search_and_chooses_the_answer(rig: StartRig) -> None:
    """Step by step: the policy is asked to go on from the step that the PPM likes best."""

    def reply(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
        if not request.steps:
            finish = policy_pb2.FINISH_REASON_STEP
            return solution(f"# Step 1: way {index}", finish=finish)
        way = request.steps[0].text[-1]
        return solution(f"# Step 2: end {index} of {way}\nprint {way}{index}")

    async with rig() as one:
        one.policy.reply = reply
        one.ppm.score = lambda texts: 0.9 if "way 2" in texts[0] else -0.9
        options = {
            "budget": {"rollouts": 1},
            "search": {"candidates": 4, "expansion": "step", "answer": "best", "parallel": 1},
        }
        body = (await one.client.post("/solve", json={**PROBLEM, **options})).json()
        assert body["guided"] is True
        assert body["models"]["ppm"] == "scripted-ppm"
        assert [len(request.steps) for request in one.policy.requests] == [0, 1]
        assert one.policy.requests[1].steps[0].text == "# Step 1: way 2"
        assert body["answer"].startswith("2")
        assert [step["ppm_score"] for step in body["steps"]] == [0.9, 0.9]
        assert body["usage"]["ppm_calls"] == 8


async def test_progress_is_streamed_and_ends_in_the_solution(rig: StartRig) -> None:
    async with rig() as one:
        async with one.client.stream("POST", "/solve", json={**PROBLEM, "stream": True}) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            events = parse_events(await _text(reply))
        names = [name for name, _ in events]
        assert names[-1] == "solution"
        assert set(names[:-1]) == {"progress"}
        assert events[0][1]["search_id"] == events[-1][1]["search_id"]
        assert events[-1][1]["answer"] == "2"


async def _text(reply: httpx.Response) -> str:
    return (await reply.aread()).decode()


def parse_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and data of server-sent events."""
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields["event"], json.loads(fields["data"])))
    return events


async def test_the_seconds_are_kept_and_the_best_so_far_is_the_answer(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: (
            None if request.steps else solution(f"# Step 1: {index}\nx = 1", "# Step 2\nprint 2")
        )
        budget = {"rollouts": 100, "seconds": 1.0}
        body = (await one.client.post("/solve", json={**PROBLEM, "budget": budget})).json()
        assert (body["answer"], body["stop_reason"]) == ("2", "seconds")
        await until(lambda: one.policy.open_calls == 0)


async def test_no_solution_in_time_is_an_honest_answer(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: None
        body = (
            await one.client.post("/solve", json={**PROBLEM, "budget": {"seconds": 0.3}})
        ).json()
        assert (body["answer"], body["confidence"], body["steps"]) == (None, 0.0, [])
        assert body["stop_reason"] == "seconds"


async def test_a_caller_who_leaves_frees_what_the_search_held(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: None
        for options in ({}, {"stream": True}):
            call = asyncio.create_task(_solve_and_read(one, options))
            await until(lambda: one.policy.open_calls == 1)
            assert len(one.sandbox.sessions) == 1
            (search_id,) = one.sandbox.sessions
            call.cancel()
            await until(lambda: one.policy.open_calls == 0 and not one.sandbox.sessions)
            last = (await one.events(search_id))[-1]
            assert isinstance(last, Finished)
            assert last.solution.stop_reason == "cancelled"


async def _solve_and_read(one: Rig, options: dict[str, object]) -> None:
    async with one.client.stream("POST", "/solve", json={**PROBLEM, **options}) as reply:
        await reply.aread()


async def test_more_searches_than_allowed_are_turned_away(rig: StartRig) -> None:
    async with rig(max_searches=1) as one:
        one.policy.reply = lambda request, index: None
        call = asyncio.create_task(_solve_and_read(one, {}))
        await until(lambda: one.policy.open_calls == 1)
        reply = await one.client.post("/solve", json=PROBLEM)
        assert reply.status_code == 429
        assert reply.headers["content-type"] == "application/problem+json"
        assert int(reply.headers["retry-after"]) >= 1
        call.cancel()
        await until(lambda: one.policy.open_calls == 0 and not one.sandbox.sessions)
        one.policy.reply = lambda request, index: solution("# Step 1\nprint 2")
        assert (await one.client.post("/solve", json=PROBLEM)).status_code == 200


async def test_a_problem_that_does_not_fit_the_policy_is_the_callers_fault(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: rpc.InvalidField("problem", "at most 9 tokens")
        reply = await one.client.post("/solve", json=PROBLEM)
        assert reply.status_code == 422
        assert reply.json()["errors"] == [
            {"field": "problem", "limit": "problem: at most 9 tokens"}
        ]


async def test_logs_of_finished_searches_expire(rig: StartRig) -> None:
    async with rig(retention_seconds=60) as one:
        body = (await one.client.post("/solve", json=PROBLEM)).json()
        async with redis.asyncio.from_url(one.settings.redis_url) as client:
            for key in (keys.log(body["search_id"]), keys.state(body["search_id"])):
                assert 0 < await client.ttl(key) <= 60
            assert not await client.exists(keys.lease(body["search_id"]))
