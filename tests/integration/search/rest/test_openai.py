"""Chat completions with the stock OpenAI client, sync and async."""

import asyncio
import re

import openai
import pytest

from services.common import rpc
from tests.integration.search.conftest import Rig, StartRig, until
from tests.support.scripted import votes

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN = "an-admin-key-of-the-settings-0123456789"
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "an earlier question"},
    {"role": "assistant", "content": "an answer"},
    {"role": "user", "content": [{"type": "text", "text": "What is 1 + 1?"}]},
]
EXTRA = {"budget": {"rollouts": 4}, "rstar": {"candidates": 4, "answer": "majority"}}


def connect(one: Rig, **options: object) -> openai.AsyncOpenAI:
    """The stock client."""
    given = {"api_key": "none", "max_retries": 0} | options
    return openai.AsyncOpenAI(base_url=f"{one.client.base_url}/v1", **given)  # type: ignore[arg-type]  # by name


async def test_a_conversation_s_last_question_is_solved(rig: StartRig) -> None:
    async with rig() as one, connect(one) as client:
        one.policy.reply = votes
        done = await client.chat.completions.create(
            model="rstar",
            messages=MESSAGES,  # type: ignore[arg-type]  # as dictionaries
            max_tokens=5000,
            temperature=0,
            seed=7,
            stop=["\n\n"],
            user="somebody",
            extra_body=EXTRA,
        )
        [choice] = done.choices
        assert choice.finish_reason == "stop"
        content = choice.message.content or ""
        assert re.findall(r"\\boxed\{(.*?)\}", content)[-1] == "2"
        assert "```python\nn = 2\n```" in content
        assert done.usage is not None
        assert done.usage.completion_tokens == done.usage.total_tokens > 0
        extra = (done.model_extra or {})["rstar"]
        assert (extra["answer"], extra["confidence"], extra["stop_reason"]) == (
            "2",
            0.75,
            "rollouts",
        )
        assert done.id == f"chatcmpl-{extra['search_id']}"
        request = one.policy.requests[0]
        assert (request.problem, request.sampling.seed) == ("What is 1 + 1?", 7)
        # A search needs candidates that differ: OpenAI's temperature is not the policy's.
        assert request.sampling.temperature == pytest.approx(0.8)


async def test_the_sync_client_works_too(rig: StartRig) -> None:
    async with rig() as one:
        client = openai.OpenAI(base_url=f"{one.client.base_url}/v1", api_key="none", max_retries=0)
        with client:
            done = await asyncio.to_thread(
                client.chat.completions.create,
                model="rstar",
                messages=[{"role": "user", "content": "What is 1 + 1?"}],
            )
            assert "\\boxed{2}" in done.choices[0].message.content
            models = await asyncio.to_thread(client.models.list)
            assert [model.id for model in models] == ["rstar"]
            assert (await asyncio.to_thread(client.models.retrieve, "rstar")).owned_by == "rstar"


async def test_a_stream_holds_the_same_text_and_its_usage(rig: StartRig) -> None:
    async with rig() as one, connect(one) as client:
        one.policy.reply = votes
        body = {
            "model": "rstar",
            "messages": [{"role": "user", "content": "What is 1 + 1?"}],
            "extra_body": {**EXTRA, "rstar": {"seed": 1, "candidates": 4}},
        }
        whole = await client.chat.completions.create(**body)  # type: ignore[call-overload]  # by name
        stream = await client.chat.completions.create(  # type: ignore[call-overload]  # by name
            **body, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[0].choices[0].delta.role == "assistant"
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
        assert reasons[-1] == "stop"
        assert set(reasons[:-1]) == {None}
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        plain = await client.chat.completions.create(**body, stream=True)  # type: ignore[call-overload]  # by name
        assert [chunk.usage async for chunk in plain if chunk.usage is not None] == []


async def test_no_solution_within_the_budget_has_finish_reason_length(rig: StartRig) -> None:
    async with rig() as one, connect(one) as client:
        one.policy.reply = lambda request, index: None
        done = await client.chat.completions.create(
            model="rstar",
            messages=[{"role": "user", "content": "?"}],
            extra_body={"budget": {"seconds": 0.2}},
        )
        assert done.choices[0].finish_reason == "length"
        assert "\\boxed" not in (done.choices[0].message.content or "")


async def test_max_tokens_is_the_budget_unless_one_is_given(rig: StartRig) -> None:
    async with rig() as one, connect(one) as client:
        message = [{"role": "user", "content": "What is 1 + 1?"}]
        ids = [
            (await client.chat.completions.create(model="rstar", messages=message, **given)).id  # type: ignore[call-overload]  # by name
            for given in (
                {"max_tokens": 77},
                {"max_completion_tokens": 88, "max_tokens": 77},
                {"max_tokens": 77, "extra_body": {"budget": {"tokens": 99}}},
            )
        ]
        logs = [(await one.events(identity.removeprefix("chatcmpl-")))[0] for identity in ids]
        assert [started.request.budget.tokens for started in logs] == [77, 88, 99]  # type: ignore[union-attr]  # the first event


@pytest.mark.parametrize(
    ("changes", "kind", "param"),
    [
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"model": "gpt-9"}, openai.NotFoundError, "model"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, openai.BadRequestError, "messages"),
        (
            {"messages": [{"role": "user", "content": "x" * 20_000}]},
            openai.BadRequestError,
            "messages",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            openai.BadRequestError,
            None,
        ),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"tools": [{"type": "function"}]}, openai.BadRequestError, "tools"),
        ({"logprobs": True}, openai.BadRequestError, "logprobs"),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format"),
        ({"extra_body": {"rstar": {"depth": 0}}}, openai.BadRequestError, "rstar.depth"),
        ({"extra_body": {"budget": {"gold": 1}}}, openai.BadRequestError, "budget.gold"),
    ],
)
async def test_errors_are_openai_s(
    rig: StartRig, changes: dict[str, object], kind: type[openai.APIStatusError], param: str | None
) -> None:
    async with rig() as one, connect(one) as client:
        body: dict[str, object] = {
            "model": "rstar",
            "messages": [{"role": "user", "content": "What is 1 + 1?"}],
        }
        with pytest.raises(kind) as failure:
            await client.chat.completions.create(**(body | changes))  # type: ignore[call-overload]  # by name
        assert failure.value.type == "invalid_request_error"
        assert failure.value.message
        if param is not None:
            assert failure.value.param == param
        assert one.policy.requests == []


async def test_keys_quotas_and_faults_are_openai_s_too(rig: StartRig) -> None:
    message = [{"role": "user", "content": "What is 1 + 1?"}]
    async with rig(auth="keys", admin_key=ADMIN) as one:
        async with connect(one, api_key="wrong") as stranger:
            with pytest.raises(openai.AuthenticationError, match="API key"):
                await stranger.models.list()
        made = await one.client.post(
            "/keys",
            json={"name": "x", "requests_per_minute": 1},
            headers={"Authorization": f"Bearer {ADMIN}"},
        )
        async with connect(one, api_key=made.json()["key"]) as client:
            await client.models.list()
            with pytest.raises(openai.RateLimitError) as limited:
                await client.models.list()
            assert limited.value.code == "quota_exceeded"
            assert int(limited.value.response.headers["retry-after"]) >= 1
    async with rig(policy_target="127.0.0.1:1") as one, connect(one) as client:
        with pytest.raises(openai.InternalServerError, match="policy"):
            await client.chat.completions.create(model="rstar", messages=message)  # type: ignore[arg-type]  # as dictionaries


async def test_a_fault_in_mid_stream_is_raised_by_the_client(rig: StartRig) -> None:
    async with rig() as one, connect(one) as client:
        one.policy.reply = lambda request, index: rpc.InvalidField("problem", "at most 9 tokens")
        stream = await client.chat.completions.create(
            model="rstar", messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(openai.APIError, match="at most 9 tokens"):
            [chunk async for chunk in stream]


async def test_a_client_who_leaves_cancels_the_search(rig: StartRig) -> None:
    async with rig() as one, connect(one) as client:
        one.policy.reply = lambda request, index: None
        message = [{"role": "user", "content": "What is 1 + 1?"}]
        for is_stream in (False, True):
            call = asyncio.create_task(
                client.chat.completions.create(model="rstar", messages=message, stream=is_stream)  # type: ignore[call-overload]  # by name
            )
            await until(lambda: one.policy.open_calls > 0)
            if is_stream:
                await (await call).close()
            else:
                call.cancel()
            await until(lambda: one.policy.open_calls == 0 and not one.sandbox.sessions)
