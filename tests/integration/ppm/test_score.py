"""Score, as a caller sees it, on a real model."""

import math
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from rstar.bench.random_ppm import SCALE, VERSION, make_ppm
from rstar.stack.ports import free_ports
from services.common.models.store import ModelStore, StoredModel
from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.pb.ppm.v1 import ppm_pb2_grpc as pb_grpc
from services.common.steps import Step, render_scored
from services.ppm.servicer import NAME
from tests.support.collector import Collector, collecting
from tests.support.model_service import SERVING, connect, health, started
from tests.support.prometheus import check_metrics, scraped

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

CALL_SECONDS = 300
PROBLEM = "A shelf holds 4 rows of 6 cups. Five cups break. How many cups are left?"
SOLUTIONS = [
    [Step("# Step 1: Count the cups\ncups = 4 * 6")],
    [Step("# Step 1: Count the cups\ncups = 4 + 6")],
    [
        Step("# Step 1: Count the cups\ncups = 4 * 6"),
        Step("# Step 2: Print what is left\nprint(cups - 5)", ends_code=True, output="19\n"),
    ],
    [
        Step("# Step 1: Count the cups\ncups = 4 * 6"),
        Step("# Step 2: Print what is left\nprint(cups - 5)", ends_code=True, output="19\n"),
        Step("The answer is \\boxed{19}."),
    ],
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traces() -> AsyncIterator[tuple[Collector, str]]:
    """A collector and its endpoint."""
    async with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def metrics_port() -> int:
    """Where the server's metrics are read."""
    (port,) = free_ports("127.0.0.1", 1)
    return port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(
    ppm_store: ModelStore,
    tmp_path_factory: pytest.TempPathFactory,
    traces: tuple[Collector, str],
    metrics_port: int,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server of a small PPM."""
    log = tmp_path_factory.mktemp("ppm-log") / "log"
    settings = {
        "store": ppm_store.root,
        "model": VERSION,
        "kv_cache_gib": 0.5,
        # As transformers compute that scores are held against.
        "dtype": "float32",
        "context_tokens": 512,
        "max_in_flight": 16,
        "max_batch": 32,
        "admin_token": "secret",
        "trace_endpoint": traces[1],
        "metrics_port": metrics_port,
    }
    async with started("ppm", log, **settings) as server:
        channel = await connect(server, NAME)
        yield channel
        await channel.close()


def request(solutions: list[list[Step]], **changes: object) -> pb.ScoreRequest:
    partial = [
        pb.PartialSolution(
            steps=[pb.Step(text=s.text, ends_code=s.ends_code, output=s.output) for s in steps]
        )
        for steps in solutions
    ]
    fields: dict[str, Any] = {"search_id": "test", "problem": PROBLEM, "solutions": partial}
    return pb.ScoreRequest(**fields | changes)


async def score(channel: grpc.aio.Channel, *args: object, **kwargs: object) -> pb.ScoreResponse:
    stub = pb_grpc.PpmServiceStub(channel)
    return await stub.Score(request(*args, **kwargs), timeout=CALL_SECONDS)


def expected_scores(path: Path) -> tuple[list[int], list[float]]:
    """Tokens and logit of each solution, as plain transformers gives them."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
    texts = [render_scored(PROBLEM, steps) for steps in SOLUTIONS]
    encoded = [tokenizer(text, return_tensors="pt") for text in texts]
    with torch.no_grad():
        logits = [model(**inputs).logits.item() for inputs in encoded]
    return [inputs["input_ids"].shape[1] for inputs in encoded], logits


async def test_the_engines_metrics_stand_beside_the_ppms(
    channel: grpc.aio.Channel, metrics_port: int
) -> None:
    url = f"http://127.0.0.1:{metrics_port}/metrics"
    _, before = await scraped(url)
    await score(channel, SOLUTIONS)
    text, found = await scraped(url)
    assert found["rstar_ppm_model_info"] == 1
    assert found["rstar_ppm_in_flight_solutions"] == 0
    total = "rstar_ppm_batch_solutions_sum"
    assert found[total] - before[total] == len(SOLUTIONS)
    queries = "vllm:prefix_cache_queries_total"
    assert found[queries] > before[queries]
    check_metrics(text)


async def test_info(channel: grpc.aio.Channel) -> None:
    info = await pb_grpc.PpmServiceStub(channel).Info(pb.InfoRequest(), timeout=10)
    assert (info.ready, info.model_version, info.scale) == (True, VERSION, SCALE)
    assert (info.context_tokens, info.max_in_flight) == (512, 16)
    assert await health(channel) == SERVING


async def test_scores_are_the_models(channel: grpc.aio.Channel, ppm_store: ModelStore) -> None:
    """Raw logits as plain transformers gives them, each for its own solution."""
    tokens, expected = expected_scores(ppm_store.path("ppm", VERSION))
    assert max(expected) - min(expected) > 0.1  # else any order would do

    response = await score(channel, SOLUTIONS)

    assert response.model_version == VERSION
    assert [s.tokens for s in response.scores] == tokens
    assert [s.logit for s in response.scores] == pytest.approx(expected, abs=0.05)
    for given in response.scores:
        assert given.value == pytest.approx(math.tanh(given.logit / SCALE), abs=1e-9)


async def test_a_score_does_not_depend_on_its_batch(channel: grpc.aio.Channel) -> None:
    together = await score(channel, SOLUTIONS)
    alone = [(await score(channel, [steps])).scores[0].logit for steps in SOLUTIONS]
    assert [given.logit for given in together.scores] == pytest.approx(alone, abs=0.02)


async def test_what_goes_along_is_scored_for_its_own_problem(channel: grpc.aio.Channel) -> None:
    other = request(SOLUTIONS[:1], search_id="other")
    other.problem = "How many legs have three spiders?"
    stub = pb_grpc.PpmServiceStub(channel)
    alone = [await score(channel, SOLUTIONS), await stub.Score(other, timeout=CALL_SECONDS)]
    expected = [given.logit for reply in alone for given in reply.scores]
    assert expected[0] != pytest.approx(expected[-1], abs=0.02)  # else any problem would do
    both = await stub.Score(request(SOLUTIONS, more=[other]), timeout=CALL_SECONDS)
    assert both.takes_more
    assert [given.logit for given in both.scores] == pytest.approx(expected, abs=0.02)


async def test_a_long_solution_is_refused_by_name_not_cut(channel: grpc.aio.Channel) -> None:
    long = [*SOLUTIONS[0], Step("# Step 2: Go on\n" + "x = 1\n" * 500)]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await score(channel, [SOLUTIONS[0], long])
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details().startswith("solutions[1]: must be at most 512 tokens")


async def test_more_than_may_be_in_flight_is_refused(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await score(channel, [SOLUTIONS[0]] * 17)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_each_batch_of_a_call_is_in_its_own_trace(
    channel: grpc.aio.Channel, traces: tuple[Collector, str]
) -> None:
    parents = [f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01" for _ in range(2)]
    first, second = (request(SOLUTIONS[:1], traceparent=above) for above in parents)
    untraced = request(SOLUTIONS[1:3])
    first.more.extend([untraced, second])
    reply = await pb_grpc.PpmServiceStub(channel).Score(first, timeout=CALL_SECONDS)
    assert len(reply.scores) == 4
    for above in parents:
        _, trace_id, span_id, _ = above.split("-")
        (span,) = (await traces[0].trace(trace_id, {"rstar-ppm"}))["rstar-ppm"]
        assert (span.name, span.parent_span_id.hex()) == ("score", span_id)
        told = {one.key: one.value.int_value for one in span.attributes}
        assert told == {"rstar.solutions": 1, "rstar.call": 4}


async def test_another_version_is_not_served(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await score(channel, SOLUTIONS, model_version="other")
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "NO_MODEL" not in raised.value.details()


async def test_another_version_takes_its_place_scores_and_label_together(
    channel: grpc.aio.Channel,
    ppm_store: ModelStore,
    smollm2: StoredModel,
    tmp_path: Path,
) -> None:
    """Last, since it changes what the others are about."""
    other = make_ppm(smollm2, ppm_store, tmp_path, seed=7, version="other")
    before = await score(channel, SOLUTIONS)
    stub = pb_grpc.AdminServiceStub(channel)
    loaded = await stub.Load(
        pb.LoadRequest(model="other"),
        metadata=(("authorization", "Bearer secret"),),
        timeout=CALL_SECONDS,
    )
    assert (loaded.model_version, loaded.how) == ("other", "in_place")
    after = await score(channel, SOLUTIONS)
    assert (before.model_version, after.model_version) == (VERSION, "other")
    _, expected = expected_scores(other.path)
    assert [s.logit for s in after.scores] == pytest.approx(expected, abs=0.05)
    assert [s.logit for s in after.scores] != pytest.approx(
        [s.logit for s in before.scores], abs=0.1
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await score(channel, SOLUTIONS, model_version=VERSION)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
