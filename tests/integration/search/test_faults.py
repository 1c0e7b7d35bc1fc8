"""Dependencies that are down, slow, restarted or gone for a moment."""

import asyncio
from typing import Any

import pytest

from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from tests.integration.search.conftest import StartRig, until
from tests.support.scripted import ScriptedPolicy, serving, solution, votes

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROBLEM = {"problem": "What is 1 + 1?"}


@pytest.mark.parametrize("name", ["redis", "policy", "sandbox", "ppm"])
async def test_a_dependency_that_is_down_is_named(rig: StartRig, name: str) -> None:
    setting = "redis_url" if name == "redis" else f"{name}_target"
    nowhere = "redis://127.0.0.1:1/0" if name == "redis" else "127.0.0.1:1"
    async with rig(**{setting: nowhere}) as one:
        reply = await one.client.post("/solve", json=PROBLEM)
        body = reply.json()
        assert (reply.status_code, body["dependency"]) == (503, name)
        assert reply.headers["retry-after"] == "1"
        ready = await one.client.get("/ready")
        assert ready.status_code == 503
        states = {key: one["ready"] for key, one in ready.json()["dependencies"].items()}
        assert [key for key, is_ready in states.items() if not is_ready] == [name]


async def test_a_policy_that_hangs_in_its_health_check_is_too_slow(rig: StartRig) -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    deaf = await asyncio.start_server(hang, "127.0.0.1", 0)
    target = f"127.0.0.1:{deaf.sockets[0].getsockname()[1]}"
    try:
        async with rig(policy_target=target, dependency_timeout_seconds=1.0) as one:
            reply = await one.client.post("/solve", json=PROBLEM)
            assert (reply.status_code, reply.json()["dependency"]) == (503, "policy")
    finally:
        deaf.close()


async def test_the_service_recovers_when_the_policy_is_back(rig: StartRig) -> None:
    policy = ScriptedPolicy(lambda request, index: solution("# Step 1\nprint 2"))
    add = policy_pb2_grpc.add_PolicyServiceServicer_to_server
    async with serving(add, policy) as target:
        port = int(target.rpartition(":")[2])
    async with rig(policy_target=target) as one:
        assert (await one.client.post("/solve", json=PROBLEM)).status_code == 503
        async with serving(add, policy, port=port):
            async with asyncio.timeout(20):
                while (await one.client.get("/ready")).status_code != 200:
                    await asyncio.sleep(0.1)
            assert (await one.client.post("/solve", json=PROBLEM)).status_code == 200


async def test_a_search_outlives_a_policy_that_is_gone_for_a_moment(rig: StartRig) -> None:
    add = policy_pb2_grpc.add_PolicyServiceServicer_to_server
    first = ScriptedPolicy(
        lambda request, index: (
            solution(f"# Step 1: {index}\nx = 1", "# Step 2\nprint 2")
            if not request.steps
            else None
        )
    )
    second = ScriptedPolicy(lambda request, index: solution(f"# Step 2: {index}\nprint 3"))
    options = {"budget": {"rollouts": 40}, "search": {"candidates": 4, "answer": "best"}}
    async with (
        _Closable(add, first) as (target, close),
        rig(policy_target=target, patience_seconds=10) as one,
    ):
        call = asyncio.create_task(one.client.post("/solve", json={**PROBLEM, **options}))
        await until(lambda: first.open_calls == 4)
        await close()
        await asyncio.sleep(0.3)
        async with serving(add, second, port=int(target.rpartition(":")[2])):
            reply = await call
        assert reply.status_code == 200, reply.text
        assert reply.json()["usage"]["rollouts"] > 4


class _Closable:
    """A server that can be closed before its block ends."""

    def __init__(self, add: Any, servicer: object) -> None:
        self._serving = serving(add, servicer)
        self._closed = False

    async def __aenter__(self) -> tuple[str, Any]:
        return await self._serving.__aenter__(), self.close

    async def close(self) -> None:
        """Close the server, once."""
        if not self._closed:
            self._closed = True
            await self._serving.__aexit__(None, None, None)

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def test_a_sandbox_that_was_restarted_loses_no_search(rig: StartRig) -> None:
    async with rig() as one:

        def reply(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
            one.sandbox.forget = bool(request.steps)
            return votes(request, index)

        one.policy.reply = reply
        options = {"budget": {"rollouts": 10}, "search": {"candidates": 4, "answer": "best"}}
        reply_ = await one.client.post("/solve", json={**PROBLEM, **options})
        assert reply_.status_code == 200, reply_.text
