"""Which model versions a search uses: floating, pinned, and on trial."""

import asyncio

import pytest
import redis
from prometheus_client import Counter, Histogram

from services.common.models import pins
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.search import metrics
from services.search.launcher import draw
from services.search.store.events import TrialTold
from tests.integration.search.conftest import Rig, StartRig, until
from tests.support.scripted import ScriptedPolicy, serving, solution

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROBLEM = {"problem": "What is 1 + 1?", "budget": {"rollouts": 6}}
OPTIONS = {"candidates": 2, "parallel": 1, "seed": 1}


def by_seed(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """No two candidates alike, and no two answers, so that nothing is settled early."""
    number = request.sampling.seed + index
    return solution(f"# Step 1: count {number}\nprint {number}")


async def solve(one: Rig, **options: object) -> tuple[int, dict[str, object]]:
    reply = await one.client.post("/solve", json={**PROBLEM, "search": {**OPTIONS, **options}})
    return reply.status_code, reply.json()


def exchange_after(policy: ScriptedPolicy, draws: int, version: str) -> None:
    """Let the policy be exchanged after so many candidates."""
    seen: list[int] = []

    def reply(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
        seen.append(index)
        if len(seen) == draws:
            policy.version = version
        return by_seed(request, index)

    policy.reply = reply


async def test_a_floating_search_goes_on_and_lists_what_it_used(rig: StartRig) -> None:
    async with rig() as one:
        exchange_after(one.policy, 2, "newer")
        status, body = await solve(one)
        assert (status, body["models"]) == (200, {"policy": "newer,scripted", "ppm": None})
        events = await one.events(str(body["search_id"]))
        made = {
            (step.policy, step.text)
            for event in events
            if isinstance(event, TrialTold)
            for candidate in event.expanded.candidates
            for step in candidate.steps
        }
        assert {policy for policy, _ in made} == {"scripted", "newer"}


async def test_a_pinned_search_ends_as_retryable_where_its_version_goes(rig: StartRig) -> None:
    async with rig() as one:
        exchange_after(one.policy, 2, "newer")
        status, body = await solve(one, versions="pinned")
        assert (status, body["dependency"]) == (503, "policy")
        assert "'scripted' is not served" in str(body["detail"])
        # Begun anew, it gets the version that is served.
        one.policy.reply = by_seed
        status, body = await solve(one, versions="pinned")
        assert (status, body["models"]) == (200, {"policy": "newer", "ppm": None})


async def test_a_guided_search_is_pinned_to_its_ppm_too(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = by_seed
        one.ppm.score = lambda steps: 0.5
        status, body = await solve(one, versions="pinned")
        assert (status, body["models"]) == (200, {"policy": "scripted", "ppm": "scripted-ppm"})
        events = await one.events(str(body["search_id"]))
        scored = [
            step
            for event in events
            if isinstance(event, TrialTold)
            for candidate in event.expanded.candidates
            for step in candidate.steps
            if step.ppm_score is not None
        ]
        assert scored
        assert {step.ppm for step in scored} == {"scripted-ppm"}


async def test_pinned_calls_go_to_the_replica_that_serves_the_version(rig: StartRig) -> None:
    add = policy_pb2_grpc.add_PolicyServiceServicer_to_server
    old, new = ScriptedPolicy(by_seed), ScriptedPolicy(by_seed, version="newer")
    async with (
        serving(add, old) as first,
        serving(add, new) as second,
        rig(policy_target=f"{first},{second}", canary_share=1.0, canary_version="newer") as one,
    ):
        for seed in range(4):
            status, body = await solve(one, seed=seed)
            assert (status, body["models"]) == (200, {"policy": "newer", "ppm": None})


def outcomes(policy: str) -> tuple[float, float]:
    """Searches of a policy that ended with an answer, and the confidences that were noted."""
    labels = {"policy": policy, "answered": "true"}

    def total(made: Counter | Histogram, end: str) -> float:
        samples = [one for metric in made.collect() for one in metric.samples]
        return sum(
            one.value
            for one in samples
            if one.name.endswith(end)
            and all(labels.get(name, value) == value for name, value in one.labels.items())
        )

    return total(metrics.BY_POLICY, "_total"), total(metrics.CONFIDENCE, "_count")


async def test_a_trial_gets_its_share_and_gives_way_where_it_is_gone(rig: StartRig) -> None:
    before = {policy: outcomes(policy) for policy in ("trial", "scripted")}
    async with rig(canary_share=0.5) as one:
        one.policy.reply = by_seed
        one.policy.trials = ("trial",)
        used = {}
        for seed in range(10):
            _, body = await solve(one, seed=seed)
            used[str(body["search_id"])] = body["models"]["policy"]  # type: ignore[index]  # JSON
        assert set(used.values()) == {"trial", "scripted"}
        for search_id, policy in used.items():
            assert (policy == "trial") == (draw(search_id) < 0.5)
        # What an operator compares the two by.
        for policy, (answered, confident) in before.items():
            drawn = list(used.values()).count(policy)
            assert outcomes(policy) == (answered + drawn, confident + drawn)
    async with rig(canary_share=1.0, canary_version="gone") as one:
        one.policy.reply = by_seed
        status, body = await solve(one)
        assert (status, body["models"]) == (200, {"policy": "scripted", "ppm": None})


async def test_a_pinned_search_keeps_its_versions_from_being_collected(
    rig: StartRig, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.search.upkeep._PIN_SECONDS", 0.02)
    redis.Redis.from_url(redis_url).delete(pins.key("policy", "scripted"))
    async with rig() as one:
        one.policy.reply = lambda request, index: None  # hangs
        running = asyncio.create_task(solve(one, versions="pinned"))
        await until(lambda: ("policy", "scripted") in pins.pinned(redis_url))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
