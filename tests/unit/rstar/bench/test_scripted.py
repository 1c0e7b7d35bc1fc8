"""The scripted load: what it proposes, and what its sandbox says of it."""

import pytest

from rstar.bench.scripted import ANSWERS, SOLUTION_STEPS, arithmetic, printed, spread
from services.common.pb.policy.v1 import policy_pb2


def request(steps: int, max_steps: int, seed: int = 0) -> policy_pb2.ProposeRequest:
    """A request after so many steps."""
    return policy_pb2.ProposeRequest(
        steps=[policy_pb2.Step(text=f"# Step {k}") for k in range(1, steps + 1)],
        count=1,
        sampling=policy_pb2.Sampling(seed=seed, max_steps=max_steps),
    )


@pytest.mark.parametrize("before", range(SOLUTION_STEPS))
def test_a_solution_has_its_steps_whichever_way_they_are_asked_for(before: int) -> None:
    one = arithmetic(request(before, max_steps=1), 0)
    rest = arithmetic(request(before, max_steps=0), 0)
    assert isinstance(one, policy_pb2.ProposeResponse)
    assert isinstance(rest, policy_pb2.ProposeResponse)
    assert len(one.steps) == one.tokens == 1
    assert len(rest.steps) == rest.tokens == SOLUTION_STEPS - before
    assert one.steps[0] == rest.steps[0]
    ends = before + 1 == SOLUTION_STEPS
    assert (one.finish_reason == policy_pb2.FINISH_REASON_CODE) is ends
    assert rest.finish_reason == policy_pb2.FINISH_REASON_CODE


def test_no_two_candidates_are_alike_and_their_code_runs() -> None:
    texts = set()
    for seed in (0, 1000):
        for index in range(32):
            reply = arithmetic(request(0, max_steps=0, seed=seed), index)
            assert isinstance(reply, policy_pb2.ProposeResponse)
            code = "\n".join(step.text for step in reply.steps)
            compile(code, "step", "exec")
            texts.add(code)
    assert len(texts) == 64


def test_the_scripted_sandbox_prints_what_a_real_one_would(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reply = arithmetic(request(SOLUTION_STEPS - 1, max_steps=1, seed=12_345), 6)
    assert isinstance(reply, policy_pb2.ProposeResponse)
    code = reply.steps[0].text
    exec(code, {})  # noqa: S102 - written above
    assert capsys.readouterr().out.strip() == printed(code) == str(12_351 % ANSWERS)
    assert printed("x = 2") == ""
    assert printed("# note\nprint 4/2") == "4/2"


def test_scores_are_spread_over_their_range() -> None:
    scores = [spread([str(i)]) for i in range(200)]
    assert all(-1 <= score <= 1 for score in scores)
    assert max(scores) - min(scores) > 1.5
    assert spread(["a", "1"]) == spread(["b", "1"])
