"""Several replicas of policy and sandbox: searches stick to theirs, and outlive one of them."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.common.pb.sandbox.v1 import sandbox_pb2_grpc
from tests.integration.search.conftest import StartRig, until
from tests.support.scripted import ScriptedPolicy, ScriptedSandbox, serving, solution

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROBLEM = {
    "problem": "What is 1 + 1?",
    "budget": {"rollouts": 40},
    "search": {"candidates": 4, "answer": "best"},
}


def reply(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """Solutions of three steps, no two alike."""
    number = request.sampling.seed + index
    steps = [f"# Step {k}: {number}\nx = {k}" for k in range(len(request.steps) + 1, 3)]
    return solution(*steps, f"# Step 3: {number}\nprint {number % 2}")


class Fleet:
    """Three replicas of each, which can be killed one by one."""

    def __init__(self) -> None:
        self.policies = [ScriptedPolicy(reply) for _ in range(3)]
        self.sandboxes = [ScriptedSandbox() for _ in range(3)]
        self.targets: dict[str, str] = {}
        self._stops: dict[object, contextlib.AsyncExitStack] = {}

    async def start(self) -> None:
        """Start all of them."""
        add_policy = policy_pb2_grpc.add_PolicyServiceServicer_to_server
        add_sandbox = sandbox_pb2_grpc.add_SandboxServiceServicer_to_server
        policies = [await self._serve(add_policy, one) for one in self.policies]
        sandboxes = [await self._serve(add_sandbox, one) for one in self.sandboxes]
        self.targets = {
            "policy_target": ",".join(policies),
            "sandbox_target": ", ".join(sandboxes),
        }

    async def _serve(self, add: object, servicer: object) -> str:
        stop = self._stops[id(servicer)] = contextlib.AsyncExitStack()
        return await stop.enter_async_context(serving(add, servicer))  # type: ignore[arg-type]

    async def kill(self, servicer: object) -> None:
        """Stop one at once, its calls cut off."""
        await self._stops.pop(id(servicer)).aclose()

    async def stop(self) -> None:
        """Stop what is left."""
        for stop in self._stops.values():
            await stop.aclose()


@contextlib.asynccontextmanager
async def three_of_each() -> AsyncIterator[Fleet]:
    """A fleet, stopped at the end."""
    fleet = Fleet()
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


async def test_each_search_stays_with_one_policy_and_one_sandbox(rig: StartRig) -> None:
    async with three_of_each() as fleet, rig(**fleet.targets) as one:
        for _ in range(12):
            reply = await one.client.post("/solve", json=PROBLEM)
            assert reply.status_code == 200, reply.text
        asked = [Counter(request.search_id for request in p.requests) for p in fleet.policies]
        assert sum(len(searches) for searches in asked) == 12
        assert sum(bool(searches) for searches in asked) > 1
        assert sum(bool(sandbox.runs) for sandbox in fleet.sandboxes) > 1
        # All sessions were closed where they had been opened.
        await until(lambda: not any(sandbox.sessions for sandbox in fleet.sandboxes))


async def test_a_search_outlives_the_replicas_that_it_stood_on(rig: StartRig) -> None:
    async with three_of_each() as fleet, rig(**fleet.targets, patience_seconds=10) as one:
        killed: list[object] = []

        def interrupting(
            request: policy_pb2.ProposeRequest, index: int
        ) -> policy_pb2.ProposeResponse | None:
            # The first policy that gets deep into a search hangs, until it is killed.
            return None if request.steps and not killed else reply(request, index)

        for policy in fleet.policies:
            policy.reply = interrupting
        async with one.client.stream("POST", "/solve", json=PROBLEM | {"stream": True}) as stream:
            lines = stream.aiter_lines()
            home = await _holding(fleet)
            killed.append(home)
            await fleet.kill(home)
            await fleet.kill(next(one for one in fleet.sandboxes if one.runs))
            last = [line async for line in lines if line.startswith("event:")][-1]
        assert last == "event: solution"
        assert sum(bool(policy.requests) for policy in fleet.policies) >= 2
        assert sum(bool(sandbox.runs) for sandbox in fleet.sandboxes) >= 2


async def _holding(fleet: Fleet) -> ScriptedPolicy:
    """The policy that keeps a search waiting, once its first solutions have run."""
    await until(
        lambda: (
            any(any(r.steps for r in policy.requests) for policy in fleet.policies)
            and any(sandbox.runs for sandbox in fleet.sandboxes)
        )
    )
    return next(p for p in fleet.policies if p.requests)


async def test_the_circuit_of_a_dead_replica_shows_in_readiness_and_metrics(rig: StartRig) -> None:
    async with three_of_each() as fleet, rig(**fleet.targets, patience_seconds=10) as one:
        dead = fleet.policies[0]
        await fleet.kill(dead)
        for _ in range(6):
            reply = await one.client.post("/solve", json=PROBLEM)
            assert reply.status_code == 200, reply.text
        circuits = (await one.client.get("/ready")).json()["dependencies"]["policy"]["circuits"]
        assert list(circuits) == fleet.targets["policy_target"].split(",")
        assert set(circuits.values()) <= {"closed", "open", "half_open"}
        metrics = (await one.client.get("/metrics")).text
        assert 'rstar_search_circuits_open{dependency="policy"}' in metrics
        assert 'rstar_search_dependency_in_flight{dependency="sandbox"} 0.0' in metrics
