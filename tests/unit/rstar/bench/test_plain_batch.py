"""The plain batch draws what was drawn, one by one, over and over, always as many at once."""

from collections import Counter

import pytest

from rstar.bench.plain_batch import again, draw_all
from rstar.bench.recorder import Drawn
from rstar.bench.scripted import ScriptedPolicy
from rstar.stack.config import LOOPBACK
from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc


def drawn(seed: int, index: int) -> Drawn:
    request = policy_pb2.ProposeRequest(problem="What?", count=4)
    request.sampling.seed = seed
    request.sampling.max_steps = 1
    return Drawn(request, index, 7, 0.0, 1.0)


def test_a_candidate_is_asked_for_alone_with_its_own_seed() -> None:
    one = drawn(1000, 3)
    request = again(one)
    assert (request.problem, request.count, request.sampling.seed) == ("What?", 1, 1003)
    assert (one.request.count, one.request.sampling.seed) == (4, 1000)


async def test_all_are_drawn_in_turn_until_the_time_is_up() -> None:
    server = rpc.Server(("rstar.policy.v1.PolicyService",), max_concurrent_rpcs=8)
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(ScriptedPolicy(), server.grpc)
    port = await server.start(LOOPBACK, 0)
    try:
        found = await draw_all(f"{LOOPBACK}:{port}", [drawn(0, 1), drawn(10, 2)], 3, 0.3)
    finally:
        await server.stop(0)
    times = Counter(one.request.sampling.seed for one in found)
    assert set(times) == {1, 12}
    assert abs(times[1] - times[12]) <= 3
    assert all(one.tokens and one.begun < one.ended for one in found)


async def test_there_must_be_something_to_draw() -> None:
    with pytest.raises(ValueError, match="no candidates"):
        await draw_all(f"{LOOPBACK}:1", [], 3, 0.1)
