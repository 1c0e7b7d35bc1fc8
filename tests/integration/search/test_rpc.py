"""SearchService over gRPC: the same searches, limits and faults as over REST."""

import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc
from services.search.rpc_server import SERVICE, SearchServicer
from tests.integration.search.conftest import Rig, StartRig, until
from tests.support.scripted import serving, votes

pytestmark = pytest.mark.asyncio(loop_scope="session")


@contextlib.asynccontextmanager
async def stub(one: Rig) -> AsyncIterator["search_pb2_grpc.SearchServiceAsyncStub"]:
    """A client of the rig's searches."""
    add = search_pb2_grpc.add_SearchServiceServicer_to_server
    async with (
        serving(add, SearchServicer(one.front), SERVICE) as target,
        rpc.channel(target) as channel,
    ):
        yield search_pb2_grpc.SearchServiceStub(channel)


async def test_a_search_streams_progress_and_ends_in_its_solution(rig: StartRig) -> None:
    async with rig() as one, stub(one) as client:
        request = pb.SolveRequest(
            problem="What is 1 + 1?",
            budget=pb.Budget(rollouts=1),
            search=pb.SearchOptions(candidates=1, temperature=0, answer=pb.ANSWER_RULE_BEST),
        )
        responses = [response async for response in client.Solve(request)]
        assert [one.WhichOneof("event") for one in responses][-1] == "solution"
        solution = responses[-1].solution
        assert (solution.answer, solution.stop_reason) == ("2", pb.STOP_REASON_ROLLOUTS)
        assert (solution.usage.nodes, solution.models.policy) == (1, "scripted")
        assert not solution.guided
        assert not solution.steps[0].HasField("ppm_score")
        # Zero is a value, not "unset": greedy was asked for and greedy was drawn.
        assert one.policy.requests[0].sampling.temperature == 0.0


async def test_info_says_what_stands_behind_the_service(rig: StartRig) -> None:
    async with rig() as one, stub(one) as client:
        info = await client.Info(pb.InfoRequest())
        assert (info.policy, info.prompt_version) == ("scripted", "scripted-0")
        assert (info.policy_engine, info.ppm, info.ppm_engine) == ("scripted", "", "")
        assert info.grader.startswith("math-verify ")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SolveRequest(), "problem"),
        (pb.SolveRequest(problem="x", budget=pb.Budget(rollouts=10_001)), "budget.rollouts"),
        (pb.SolveRequest(problem="x", budget=pb.Budget(seconds=-1)), "budget.seconds"),
        (pb.SolveRequest(problem="x", search=pb.SearchOptions(candidates=0)), "search.candidates"),
        (pb.SolveRequest(problem="x", search=pb.SearchOptions(answer=99)), "search.answer"),  # type: ignore[arg-type]  # on purpose
    ],
)
async def test_bad_input_names_its_field(
    rig: StartRig, request_: pb.SolveRequest, field: str
) -> None:
    async with rig() as one, stub(one) as client:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            [_ async for _ in client.Solve(request_)]
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (failure.value.details() or "").startswith(f"{field}: ")


async def test_a_missing_dependency_is_unavailable_by_name(rig: StartRig) -> None:
    async with rig(policy_target="127.0.0.1:1") as one, stub(one) as client:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            [_ async for _ in client.Solve(pb.SolveRequest(problem="x"))]
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert (failure.value.details() or "").startswith("policy: ")


async def test_a_caller_who_leaves_cancels_the_search(rig: StartRig) -> None:
    async with rig() as one, stub(one) as client:
        one.policy.reply = lambda request, index: None
        call = client.Solve(pb.SolveRequest(problem="x"))
        await until(lambda: one.policy.open_calls == 1)
        call.cancel()
        await until(lambda: one.policy.open_calls == 0 and not one.sandbox.sessions)


async def test_a_tree_is_sent_with_all_that_training_asks(rig: StartRig) -> None:
    async with rig() as one, stub(one) as client:
        one.policy.reply = votes
        request = pb.SolveRequest(
            problem="What is 1 + 1?",
            budget=pb.Budget(rollouts=8),
            search=pb.SearchOptions(candidates=4, trees=2),
        )
        *_, last = [response async for response in client.Solve(request)]
        asked = pb.TreeRequest(search_id=last.solution.search_id)
        nodes = [node async for reply in client.Tree(asked) for node in reply.nodes]
        roots = [node for node in nodes if not node.parent]
        assert [(root.tree, root.id, root.step) for root in roots] == [
            (0, "root", ""),
            (1, "root", ""),
        ]
        assert len(nodes) - len(roots) == last.solution.usage.nodes
        known = set()
        for node in nodes:
            assert not node.parent or (node.tree, node.parent) in known
            known.add((node.tree, node.id))
        ends = [node for node in nodes if node.outcome == pb.NODE_OUTCOME_TERMINAL]
        assert {node.answer for node in ends} == {"2", "3"}
        assert not any(node.HasField("correct") for node in nodes), "no answer was known"
        assert all(node.ends_code and node.step.startswith("# Step 2: print") for node in ends)
        assert sum(root.visits for root in roots) == 8


async def test_the_tree_of_an_unknown_search_is_not_found(rig: StartRig) -> None:
    async with rig() as one, stub(one) as client:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            [_ async for _ in client.Tree(pb.TreeRequest(search_id="nobody"))]
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND
