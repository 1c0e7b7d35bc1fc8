"""Propose, as a caller sees it, on a real model."""

import asyncio
import re
import secrets
import signal
from pathlib import Path

import grpc
import pytest

from services.common.models.store import StoredModel
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.policy.prompts import FewShotChat
from tests.integration.policy.conftest import MAX_IN_FLIGHT, PROBLEM, Policy
from tests.support.fleet import until
from tests.support.model_service import gone
from tests.support.prometheus import ALERTS, check_metrics, scraped, scraping

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]


async def test_info_names_the_model_and_the_limits(policy: Policy, smollm2: StoredModel) -> None:
    info = await policy.stub.Info(pb.InfoRequest())
    assert info.model_version == smollm2.manifest.version
    assert info.context_tokens == 4096
    assert info.answer_source == pb.ANSWER_SOURCE_OUTPUT
    assert info.max_in_flight == info.max_count == MAX_IN_FLIGHT
    assert info.prompt_version.startswith("few_shot_chat-")
    assert re.fullmatch(r"vllm \S+, cpu, (float32|bfloat16)", info.engine)


async def test_every_candidate_comes_with_its_steps_and_what_they_cost(
    policy: Policy, smollm2: StoredModel
) -> None:
    candidates = await policy.propose(4, temperature=1.0, max_steps=0, max_tokens=64, seed=3)
    assert [candidate.index for candidate in candidates] == [0, 1, 2, 3]
    for candidate in candidates:
        assert candidate.model_version == smollm2.manifest.version
        assert candidate.answer_source == pb.ANSWER_SOURCE_OUTPUT
        assert 1 <= candidate.tokens <= 64
        assert sum(step.tokens for step in candidate.steps) == candidate.tokens
        for step in candidate.steps:
            assert step.text.startswith("# Step ")
            assert step.mean_logprob < 0
        ended = candidate.finish_reason
        assert ended in {pb.FINISH_REASON_CODE, pb.FINISH_REASON_LENGTH}
        assert (ended == pb.FINISH_REASON_LENGTH) == (candidate.tokens == 64)
    assert len({candidate.steps[0].text for candidate in candidates}) > 1


async def test_candidates_come_as_they_finish(policy: Policy) -> None:
    """Each is an engine request of its own, so a short one does not wait for a long one."""
    # SmolLM2 needs very different lengths for a step at a high temperature.
    call = policy.call(MAX_IN_FLIGHT, temperature=1.2, max_tokens=96, seed=1)
    got = [response async for response in call]
    assert [response.tokens for response in got] == sorted(response.tokens for response in got)
    assert len({response.tokens for response in got}) > 1


async def test_same_seed_same_candidates(policy: Policy) -> None:
    first = await policy.propose(3, temperature=1.0, seed=11, max_tokens=24)
    again = await policy.propose(3, temperature=1.0, seed=11, max_tokens=24)
    shifted = await policy.propose(1, temperature=1.0, seed=12, max_tokens=24)
    texts = [[step.text for step in candidate.steps] for candidate in first]
    assert texts == [[step.text for step in candidate.steps] for candidate in again]
    assert texts[1] == [step.text for step in shifted[0].steps]


async def test_a_prompt_of_several_engine_steps_leaves_its_seed_alone(policy: Policy) -> None:
    """What is drawn before the prompt is finished is taken back; vLLM's engine died of that."""
    problem = "It rains. " * 500 + PROBLEM
    asked = {"problem": problem, "temperature": 1.0, "seed": 11, "max_tokens": 8}
    fresh = await policy.propose(2, **asked)
    cached = await policy.propose(2, **asked)
    assert [[s.text for s in one.steps] for one in fresh] == [
        [s.text for s in one.steps] for one in cached
    ]


async def test_top_p_is_drawn_by_vllm_itself(policy: Policy) -> None:
    """Beside candidates that are drawn by ours, in one batch."""
    narrow, plain, again = await asyncio.gather(
        policy.propose(3, temperature=1.5, top_p=1e-6, seed=5, max_tokens=16),
        policy.propose(2, temperature=1.5, seed=5, max_tokens=16),
        policy.propose(temperature=0.0, max_tokens=16),
    )
    texts = {"".join(step.text for step in one.steps) for one in narrow}
    assert texts == {"".join(step.text for step in again[0].steps)}
    assert len(plain) == 2


async def test_candidates_of_one_length_come_in_one_message_to_who_takes_that(
    policy: Policy,
) -> None:
    """All cut at the same token, so the engine finishes them in one step."""
    few = {"temperature": 1.0, "seed": 11, "max_tokens": 3}
    apart = await policy.propose(4, **few)
    messages = await policy.propose(4, takes_more=True, **few)
    together = [one for message in messages for one in (message, *message.more)]
    assert len(messages) < len(together) == len(apart) == 4
    assert not any(one.more for one in apart)
    by_index = {one.index: [step.text for step in one.steps] for one in together}
    assert by_index == {one.index: [step.text for step in one.steps] for one in apart}


async def test_step_by_step_is_the_same_path_as_all_at_once(policy: Policy) -> None:
    """The prompt of a child goes on exactly where its parent was stopped."""
    (whole,) = await policy.propose(max_steps=0, max_tokens=90)
    (two,) = await policy.propose(max_steps=2, max_tokens=90)
    (first,) = await policy.propose(max_steps=1, max_tokens=90)
    assert first.finish_reason == two.finish_reason == pb.FINISH_REASON_STEP
    assert (len(first.steps), len(two.steps)) == (1, 2)
    parent = pb.Step(text=first.steps[0].text)
    (second,) = await policy.propose(steps=[parent], max_steps=1, max_tokens=90)
    walked = [first.steps[0].text, second.steps[0].text]
    assert walked == [step.text for step in two.steps] == [step.text for step in whole.steps[:2]]


async def test_log_probabilities_are_the_models(policy: Policy, smollm2: StoredModel) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (candidate,) = await policy.propose()
    (step,) = candidate.steps
    tokenizer = AutoTokenizer.from_pretrained(smollm2.path)
    model = AutoModelForCausalLM.from_pretrained(smollm2.path, dtype=torch.float32)

    def chat(messages: list[dict[str, str]]) -> str:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    prompt = FewShotChat(chat).prompt(PROBLEM, [])
    asked = tokenizer.encode(prompt, add_special_tokens=False)
    written = step.text.removeprefix("# Step 1:") + "\n# Step"
    whole = tokenizer.encode(prompt + written, add_special_tokens=False)
    assert whole[: len(asked)] == asked
    assert len(whole) - len(asked) == step.tokens == candidate.tokens
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0, len(asked) - 1 : -1]
    logprobs = logits.log_softmax(-1).gather(1, torch.tensor(whole[len(asked) :])[:, None])
    assert step.mean_logprob == pytest.approx(logprobs.mean().item(), abs=0.02)


async def test_a_prompt_that_leaves_no_room_is_refused_with_the_numbers(policy: Policy) -> None:
    error = await policy.failure(max_tokens=4096)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("sampling.max_tokens: the prompt's ")
    assert "4096 new ones are over the context of 4096 tokens" in error.details()


async def test_a_long_partial_solution_is_refused_not_cut(policy: Policy) -> None:
    step = pb.Step(text="# Step 1: Count\n" + "x = 1\n" * 2000)
    error = await policy.failure(steps=[step])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "over the context of 4096 tokens" in error.details()


async def test_nothing_follows_the_code(policy: Policy) -> None:
    error = await policy.failure(steps=[pb.Step(text="print(1)", ends_code=True, output="1")])
    assert (error.code(), error.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "steps: the code is ended",
    )


async def test_bad_fields_are_refused_by_name(policy: Policy) -> None:
    error = await policy.failure(temperature=float("nan"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "sampling.temperature: must be 0 to 2, is nan"


async def test_another_version_is_not_served(policy: Policy) -> None:
    error = await policy.failure(model_version="other")
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "'other' is not served" in error.details()


async def test_work_over_the_limit_is_refused_and_a_caller_who_leaves_frees_his(
    policy: Policy,
) -> None:
    endless = policy.call(MAX_IN_FLIGHT, max_steps=0, max_tokens=3000, temperature=1.0)
    first = asyncio.create_task(endless.read())
    while not (error := await _refusal(policy)):
        await asyncio.sleep(0.05)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"{MAX_IN_FLIGHT} of at most {MAX_IN_FLIGHT} candidates" in error.details()
    endless.cancel()
    await asyncio.wait({first})
    while await _refusal(policy):
        await asyncio.sleep(0.05)


async def test_a_deadline_frees_what_it_held(policy: Policy) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await policy.propose(
            MAX_IN_FLIGHT, max_steps=0, max_tokens=3000, temperature=1.0, timeout=1.0
        )
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    while await _refusal(policy):
        await asyncio.sleep(0.05)


async def _refusal(policy: Policy) -> grpc.aio.AioRpcError | None:
    """The error of one small call more, if it gets one."""
    try:
        await policy.propose(1, max_tokens=1)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def test_the_engines_metrics_stand_beside_the_policys(policy: Policy, tmp_path: Path) -> None:
    _, before = await scraped(policy.metrics_url)
    replies = await policy.propose(2, temperature=1.0, max_tokens=16)
    text, found = await scraped(policy.metrics_url)
    counted = {name: value - before.get(name, 0.0) for name, value in found.items()}
    assert counted["rstar_policy_candidates_total"] == len(replies) == 2
    assert counted["rstar_policy_tokens_total"] == sum(one.tokens for one in replies)
    assert found["rstar_policy_in_flight_candidates"] == 0
    assert found["rstar_policy_model_info"] == 1
    assert counted["vllm:generation_tokens_total"] >= counted["rstar_policy_tokens_total"]
    assert counted["vllm:prefix_cache_queries_total"] > 0
    assert found["vllm:num_requests_waiting"] == 0
    check_metrics(text)
    address = policy.metrics_url.split("/")[2]
    # The engine's metrics are many: reading them takes a while on a busy machine.
    async with scraping({"policy": address}, ALERTS, tmp_path, every="2s") as prometheus:

        async def is_read() -> bool:
            queries = "rstar_policy_model_info == 1", "vllm:num_requests_waiting == 0"
            return all([await prometheus.ask(query) for query in queries])

        await until(is_read)


async def test_a_call_goes_on_with_its_callers_trace(policy: Policy) -> None:
    trace_id = secrets.token_hex(16)
    above = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    request = pb.ProposeRequest(
        search_id="test",
        problem=PROBLEM,
        count=1,
        sampling=pb.Sampling(temperature=0.0, max_tokens=4, max_steps=1),
    )
    call = policy.stub.Propose(request, timeout=60, metadata=(("traceparent", above),))
    assert [reply.index async for reply in call] == [0]
    spans = await policy.collector.trace(trace_id, {"rstar-policy"})
    (span,) = spans["rstar-policy"]
    assert "PolicyService/Propose" in span.name
    assert span.parent_span_id.hex() == above.split("-")[2]


# The last of all: nothing is served after it.
async def test_sigterm_ends_a_serving_server_and_all_its_processes(policy: Policy) -> None:
    server = policy.server
    children = server.children()
    assert any("EngineCore" in " ".join(child.cmdline()) for child in children)
    server.process.send_signal(signal.SIGTERM)
    assert await server.exit_code() == 0
    await gone(children)
