"""What each method makes of a real search: how many samples it draws, where, and when it ends."""

import itertools

import pytest

from services.common.pb.policy.v1 import policy_pb2
from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc
from services.search.rpc_server import SERVICE, SearchServicer
from tests.integration.search.conftest import Rig, StartRig
from tests.support.scripted import ScriptedPolicy, serving, solution
from trainer.evaluation.methods import Method, parse_methods
from trainer.evaluation.rules import choices
from trainer.evaluation.service import connect
from trainer.wire_trees import to_trees

pytestmark = pytest.mark.asyncio(loop_scope="session")


def one_method(name: str, *budget: str) -> Method:
    (method,) = parse_methods([name], budget, [], seed=0)
    return method


async def solve(rig: Rig, method: Method) -> pb.Solution:
    add = search_pb2_grpc.add_SearchServiceServicer_to_server
    async with (
        serving(add, SearchServicer(rig.front), SERVICE) as target,
        connect(target, patience_seconds=0) as service,
    ):
        return await service.solve(method.request("p", "What is 1 + 1?"))


def different_answers(policy: ScriptedPolicy) -> None:
    """Every second candidate prints 2, the others a number of their own."""
    numbers = itertools.count()

    def reply(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
        number = next(numbers)
        answer = 2 if number % 2 else 100 + number
        return solution(f"# Step 1: try {number}", f"# Step 2: say it\nprint {answer}")

    policy.reply = reply


async def test_greedy_is_one_sample_at_temperature_zero(rig: StartRig) -> None:
    async with rig() as one:
        found = await solve(one, one_method("greedy"))
        (request,) = one.policy.requests
    assert (request.count, request.sampling.temperature) == (1, 0.0)
    assert (found.answer, found.usage.rollouts) == ("2", 1)


async def test_majority_draws_its_samples_from_the_problem_alone(rig: StartRig) -> None:
    async with rig() as one:
        different_answers(one.policy)
        found = await solve(one, one_method("majority@6"))
        asked = [(len(request.steps), request.count) for request in one.policy.requests]
    assert sum(count for _, count in asked) == 6
    assert {steps for steps, _ in asked} == {0}
    assert found.usage.rollouts == 6
    assert found.answer == "2"
    assert found.alternatives[0].trajectories == 3


async def test_the_trees_of_a_search_tell_what_each_rule_answers(rig: StartRig) -> None:
    add = search_pb2_grpc.add_SearchServiceServicer_to_server
    async with rig() as one:
        different_answers(one.policy)
        async with (
            serving(add, SearchServicer(one.front), SERVICE) as target,
            connect(target, patience_seconds=0) as service,
        ):
            found = await service.solve(one_method("best_of_n@6").request("p", "What is 1 + 1?"))
            trees = to_trees(await service.tree(found.search_id), found.models.policy)
    # No verdicts here: that is the grader's.
    made = {rule: choice.answer for rule, choice in choices(trees).items()}
    assert made["majority"] == found.answer == "2"
    assert made["first"] == "100"
    assert sum(node.outcome == "terminal" for node in trees[0].nodes) == 6


async def test_search_ends_with_its_tokens(rig: StartRig) -> None:
    async with rig() as one:
        different_answers(one.policy)
        found = await solve(one, one_method("mcts", "tokens=900"))
    assert found.stop_reason == pb.STOP_REASON_TOKENS
    # Candidates take 40 tokens here, so about one more or less than the budget has room for.
    assert 800 < found.usage.policy_tokens < 1000
