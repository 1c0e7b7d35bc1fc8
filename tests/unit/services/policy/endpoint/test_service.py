"""The policy's contract in front of a real HTTP server, which misbehaves as servers do."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from services.common import rpc
from services.common.models.manifest import VERSION_PATTERN
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy.endpoint.client import Client
from services.policy.endpoint.drawing import Drawer
from services.policy.endpoint.servicer import NAME, EndpointServicer, version_of
from services.policy.endpoint.settings import EndpointSettings
from tests.support import endpoint_server
from tests.support.endpoint_server import Answer, EndpointServer, chat_reply, refusal, text_reply
from tests.support.scripted import serving

KEY = "sk-hunter2-hunter2"
FIRST = "# Step 1: Add\nx = 1 + 1"
SECOND = "# Step 2: Print\nprint(x)"
WHOLE = f"```python\n{FIRST}\n{SECOND}\n```"
LIMIT_SECONDS = 20


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    with endpoint_server.serving() as running:
        yield running


@contextlib.asynccontextmanager
async def policy(
    server: EndpointServer, **given: object
) -> AsyncIterator[pb_grpc.PolicyServiceStub]:
    fields = {"url": server.url, "model": "maker/big-1", "api_key": KEY, **given}
    settings = EndpointSettings(**fields)  # type: ignore[arg-type]
    client = Client(settings, settings.key())
    servicer = EndpointServicer(settings, Drawer(client, settings))
    servicer.open(4096)
    add = pb_grpc.add_PolicyServiceServicer_to_server
    async with serving(add, servicer, NAME) as target, rpc.channel(target) as channel:
        yield pb_grpc.PolicyServiceStub(channel)
    await client.close()


def asked(count: int = 1, steps: tuple[str, ...] = (), **sampling: object) -> pb.ProposeRequest:
    fields = {"temperature": 0.8, "max_tokens": 100, "seed": 7, **sampling}
    return pb.ProposeRequest(
        search_id="s",
        problem="What is 1 + 1?",
        steps=[pb.Step(text=text) for text in steps],
        count=count,
        sampling=pb.Sampling(**fields),  # type: ignore[arg-type]
    )


async def propose(
    stub: pb_grpc.PolicyServiceStub, request: pb.ProposeRequest
) -> list[pb.ProposeResponse]:
    replies = [reply async for reply in stub.Propose(request, timeout=LIMIT_SECONDS)]
    return sorted(replies, key=lambda reply: reply.index)


async def failure(
    server: EndpointServer, request: pb.ProposeRequest, **given: object
) -> tuple[grpc.StatusCode, str]:
    async with policy(server, **given) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await propose(stub, request)
    details = raised.value.details() or ""
    assert KEY not in details
    assert "\n" not in details
    return raised.value.code(), details


async def test_a_request_for_several_candidates_is_one(server: EndpointServer) -> None:
    server.say = lambda body: chat_reply(*[WHOLE] * body["n"], tokens=40 * body["n"])
    async with policy(server, choices=3) as stub:
        info = await stub.Info(pb.InfoRequest())
        drawn = await propose(stub, asked(5, top_p=0.9))
    assert [reply.index for reply in drawn] == [0, 1, 2, 3, 4]
    assert sorted(body["n"] for body in server.asked) == [2, 3]
    body = server.asked[0]
    assert (body["model"], body["max_tokens"]) == ("maker/big-1", 100)
    assert (body["temperature"], body["top_p"]) == (0.8, 0.9)
    assert body["messages"][-1] == {"role": "user", "content": "What is 1 + 1?"}
    assert (server.paths[0], server.shown[0]) == ("/v1/chat/completions", f"Bearer {KEY}")
    for reply in drawn:
        assert [step.text for step in reply.steps] == [FIRST, SECOND]
        assert (reply.tokens, sum(step.tokens for step in reply.steps)) == (40, 40)
        assert all(step.mean_logprob == 0 for step in reply.steps)
        assert reply.finish_reason == pb.FINISH_REASON_CODE
        assert reply.answer_source == pb.ANSWER_SOURCE_OUTPUT
        assert reply.model_version == info.model_version == "endpoint-maker-big-1"
    assert (info.context_tokens, info.max_count, info.batch_sequences) == (4096, 64, 16 * 3)
    assert re.fullmatch(r"endpoint_chat-[0-9a-f]{8}", info.prompt_version)


async def test_candidates_finished_together_come_in_one_message(server: EndpointServer) -> None:
    server.say = lambda body: chat_reply(*[WHOLE] * body["n"])
    request = asked(4)
    request.takes_more = True
    async with policy(server) as stub:
        (reply,) = await propose(stub, request)
    assert sorted([reply.index, *(one.index for one in reply.more)]) == [0, 1, 2, 3]


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_server_without_n_is_asked_several_times(
    server: EndpointServer, *, refuses: bool
) -> None:
    def say(body: dict[str, object]) -> Answer:
        if refuses and "n" in body:
            return refusal(400, "Only n=1 is supported")
        return chat_reply(WHOLE)

    server.say = say
    async with policy(server) as stub:
        assert len(await propose(stub, asked(4))) == 4
        known = len(server.asked)
        assert len(await propose(stub, asked(4))) == 4
        assert (await stub.Info(pb.InfoRequest())).batch_sequences == 16
    assert len(server.asked) == known + 4, "it is remembered"
    assert all("n" not in body for body in server.asked[known:])
    assert sorted(int(body["seed"]) for body in server.asked[known:]) == [7, 8, 9, 10]


async def test_greedy_candidates_are_never_asked_for_together(server: EndpointServer) -> None:
    async with policy(server) as stub:
        assert len(await propose(stub, asked(3, temperature=0.0))) == 3
    assert [body.get("n") for body in server.asked] == [None] * 3


async def test_fields_that_a_server_does_not_take_are_left_out(server: EndpointServer) -> None:
    def say(body: dict[str, object]) -> Answer:
        if "logprobs" in body:
            return refusal(403, "You are not allowed to request logprobs from this model")
        if "seed" in body:
            return refusal(400, "Unsupported parameter", "seed")
        return chat_reply(WHOLE)

    server.say = say
    async with policy(server) as stub:
        (reply,) = await propose(stub, asked(max_steps=1))
    assert [step.text for step in reply.steps] == [FIRST]
    assert reply.finish_reason == pb.FINISH_REASON_STEP
    assert set(server.asked[-1]) == {"model", "messages", "max_tokens", "temperature", "stop"}


async def test_a_partial_solution_stands_in_the_users_turn(server: EndpointServer) -> None:
    server.say = lambda body: chat_reply(WHOLE)
    async with policy(server) as stub:
        (reply,) = await propose(stub, asked(steps=(FIRST,), max_steps=1))
    assert [step.text for step in reply.steps] == [SECOND], "what it repeats is left out"
    last = server.asked[0]["messages"][-1]
    assert last["role"] == "user"
    assert f"```python\n{FIRST}\n```" in last["content"]
    assert "`# Step 2:`" in last["content"]
    assert server.asked[0]["stop"] == ["\n# Step 3:"]


async def test_log_probabilities_belong_to_the_step_they_are_in(server: EndpointServer) -> None:
    pieces = [("```python\n", -1.0), (FIRST, -3.0), ("\n", -2.0), (SECOND, -0.5), ("\n```", -0.1)]
    content = [{"token": token, "logprob": value} for token, value in pieces]
    server.say = lambda body: chat_reply(WHOLE, logprobs={"content": content})
    async with policy(server) as stub:
        (reply,) = await propose(stub, asked())
    assert [step.tokens for step in reply.steps] == [3, 2]
    assert [step.mean_logprob for step in reply.steps] == pytest.approx([-2.0, -0.3])
    assert reply.tokens == 5


async def test_without_usage_tokens_are_estimated_by_length(server: EndpointServer) -> None:
    server.say = lambda body: chat_reply(WHOLE)
    async with policy(server) as stub:
        (reply,) = await propose(stub, asked())
    assert reply.tokens == -(-len(WHOLE) // 3)
    assert sum(step.tokens for step in reply.steps) == reply.tokens


@pytest.mark.parametrize("name", ["stop_reason", "matched_stop"])
async def test_a_server_may_say_where_it_stopped(server: EndpointServer, name: str) -> None:
    printed = "```python\n# Step 1: Print\nprint(1)"
    server.say = lambda body: chat_reply(printed, **{name: body["stop"][0]})
    async with policy(server) as stub:
        (reply,) = await propose(stub, asked(max_steps=1))
        server.say = lambda body: chat_reply(printed, **{name: None})
        (whole,) = await propose(stub, asked(max_steps=1))
    assert reply.finish_reason == pb.FINISH_REASON_STEP
    assert whole.finish_reason == pb.FINISH_REASON_CODE


async def test_a_cut_reply_says_so(server: EndpointServer) -> None:
    server.say = lambda body: chat_reply(
        f"```python\n{FIRST}\n# Step 2: Pr", finish_reason="length"
    )
    async with policy(server) as stub:
        (reply,) = await propose(stub, asked())
    assert reply.finish_reason == pb.FINISH_REASON_LENGTH
    assert len(reply.steps) == 2


async def test_raw_text_is_sent_to_completions(server: EndpointServer) -> None:
    logprobs = {"tokens": [" Print", "\nprint(x)"], "token_logprobs": [-1.0, -2.0]}
    server.say = lambda body: text_reply(" Print\nprint(x)", stop_reason="```", logprobs=logprobs)
    async with policy(server, api="completions") as stub:
        (reply,) = await propose(stub, asked(steps=(FIRST,), max_steps=1))
    assert server.paths == ["/v1/completions"]
    assert server.asked[0]["prompt"].endswith(f"```python\n{FIRST}\n# Step 2:")
    assert server.asked[0]["stop"] == ["```", "\n# Step"]
    (step,) = reply.steps
    assert (step.text, step.tokens, step.mean_logprob) == (SECOND, 2, -1.5)
    assert reply.finish_reason == pb.FINISH_REASON_CODE


async def test_what_may_pass_is_tried_again(server: EndpointServer) -> None:
    server.faults = [refusal(500, "oops"), Answer(200, b"<html>")]
    server.say = lambda body: chat_reply(WHOLE)
    async with policy(server) as stub:
        assert len(await propose(stub, asked())) == 1
    assert len(server.asked) == 3


async def test_retry_after_is_honoured(server: EndpointServer) -> None:
    server.faults = [refusal(429, "slow down", retry_after="1.5")]
    begun = time.monotonic()
    async with policy(server) as stub:
        assert len(await propose(stub, asked())) == 1
    assert time.monotonic() - begun >= 1.5


async def test_a_wait_beyond_the_deadline_is_not_waited(server: EndpointServer) -> None:
    server.faults = [refusal(429, f"slow\ndown {KEY}", retry_after="3600")]
    begun = time.monotonic()
    code, details = await failure(server, asked())
    assert time.monotonic() - begun < LIMIT_SECONDS / 2
    assert code is grpc.StatusCode.UNAVAILABLE
    assert details == "the endpoint: HTTP 429: slow down (the key), asks to wait 3600 s (1 try)"


async def test_after_the_last_try_it_is_unavailable(server: EndpointServer) -> None:
    server.say = lambda body: refusal(503, "x" * 1000)
    code, details = await failure(server, asked(), retries=1)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert details == f"the endpoint: HTTP 503: {'x' * 200}... (2 tries)"


async def test_nobody_there_is_unavailable(server: EndpointServer) -> None:
    gone = EndpointServer("http://127.0.0.1:9/v1")
    code, details = await failure(gone, asked(), retries=0)
    assert (code, "(1 try)" in details) == (grpc.StatusCode.UNAVAILABLE, True)


async def test_a_slow_try_is_given_up(server: EndpointServer) -> None:
    server.faults = [Answer(never=True)]
    async with policy(server, request_seconds=0.3) as stub:
        assert len(await propose(stub, asked())) == 1
    assert server.left.wait(LIMIT_SECONDS)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, grpc.StatusCode.FAILED_PRECONDITION),
        (403, grpc.StatusCode.FAILED_PRECONDITION),
        (404, grpc.StatusCode.FAILED_PRECONDITION),
        (308, grpc.StatusCode.FAILED_PRECONDITION),
        (400, grpc.StatusCode.INVALID_ARGUMENT),
        (413, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_refusal_is_passed_on_at_once(
    server: EndpointServer, status: int, code: grpc.StatusCode
) -> None:
    server.say = lambda body: refusal(status, f"Bad key {KEY},\nor so")
    assert await failure(server, asked()) == (
        code,
        f"the endpoint: HTTP {status}: Bad key (the key), or so",
    )
    assert len(server.asked) == 1


async def test_a_reply_of_another_form_is_refused(server: EndpointServer) -> None:
    server.say = lambda body: Answer(body={"choices": []})
    code, details = await failure(server, asked())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "choices" in details


async def test_requests_are_checked_as_the_policy_does(server: EndpointServer) -> None:
    for request, said in [
        (asked(65), "count: must be 1 to 64"),
        (asked(max_tokens=4097), "sampling.max_tokens: must be 1 to 4096"),
        (pb.ProposeRequest(search_id="s"), "problem: must be"),
    ]:
        code, details = await failure(server, request)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said in details
    request = asked()
    request.model_version = "other"
    assert (await failure(server, request))[0] is grpc.StatusCode.FAILED_PRECONDITION
    request = asked(9)
    assert (await failure(server, request, max_in_flight=8))[0] is (
        grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    assert not server.asked


async def test_leaving_a_call_leaves_the_request(server: EndpointServer) -> None:
    server.faults = [Answer(never=True)]
    async with policy(server) as stub:
        call = stub.Propose(asked())
        reading = asyncio.create_task(call.read())
        assert await asyncio.to_thread(server.begun.wait, LIMIT_SECONDS)
        call.cancel()
        assert await asyncio.to_thread(server.left.wait, LIMIT_SECONDS)
        await asyncio.gather(reading, return_exceptions=True)
        # Its place is free again.
        assert len(await propose(stub, asked())) == 1


async def test_no_more_requests_than_allowed_are_made_at_once(server: EndpointServer) -> None:
    def say(body: dict[str, object]) -> Answer:
        time.sleep(0.05)
        return chat_reply(WHOLE)

    server.say = say
    async with policy(server, choices=1, max_requests=2) as stub:
        assert len(await propose(stub, asked(6))) == 6
    assert server.most_at_once == 2


async def test_the_key_is_in_no_log_line(
    server: EndpointServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    server.faults = [refusal(500, f"with {KEY}"), refusal(400, f"no seed, {KEY}", "seed")]
    async with policy(server) as stub:
        assert len(await propose(stub, asked())) == 1
    server.say = lambda body: refusal(401, f"wrong key {KEY}")
    await failure(server, asked())
    said = caplog.text + "".join(capfd.readouterr())
    assert "trying again" in said
    assert KEY not in said


@pytest.mark.parametrize(
    "model", ["m", "deepseek-ai/DeepSeek-Coder-V2-Instruct", "x" * 200, "modèle:7b", "/m"]
)
def test_every_model_has_a_version_of_its_own(model: str) -> None:
    assert re.fullmatch(VERSION_PATTERN, version_of(model))
    assert version_of(model) != version_of(f"{model}:")
