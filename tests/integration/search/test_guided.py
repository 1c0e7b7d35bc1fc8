"""A search guided by a real PPM, its steps run in the real sandbox; only the policy is scripted."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rstar.bench.random_ppm import VERSION, make_ppm
from services.common import rpc
from services.common.models.store import ModelStore, StoredModel
from services.common.pb.policy.v1 import policy_pb2
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc
from services.ppm.servicer import NAME
from tests.integration.search.conftest import StartRig
from tests.support import sandbox_server
from tests.support.model_service import connect, started
from tests.support.scripted import solution

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]

PROBLEM = "A shelf holds 4 rows of 6 cups. Five cups break. How many cups are left?"
FIRST_STEPS = [
    "# Step 1: Count the cups\ncups = 4 * 6",
    "# Step 1: Count the rows and the cups in each\nrows, each = 4, 6\ncups = rows * each",
    "# Step 1: There are ten things\ncups = 4 + 6",
    "# Step 1: Add the rows one by one\ncups = sum([6, 6, 6, 6])",
]
LAST_STEPS = [
    "# Step 2: Print what is left\nprint(cups - 5)",
    "# Step 2: Print all\nprint(cups)",
    "# Step 2: Print what is broken\nprint(5)",
    "# Step 2: Print one more\nprint(cups - 4)",
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ppm_target(
    smollm2: StoredModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """Where a PPM service with a model made on the spot listens."""
    store = ModelStore(tmp_path_factory.mktemp("store"))
    make_ppm(smollm2, store, tmp_path_factory.mktemp("ppm"))
    log = tmp_path_factory.mktemp("ppm-log") / "log"
    settings = {"store": store.root, "model": VERSION, "kv_cache_gib": 0.5, "context_tokens": 512}
    async with started("ppm", log, **settings) as server:
        await (await connect(server, NAME)).close(None)
        yield await server.address()


def propose(request: policy_pb2.ProposeRequest, index: int) -> policy_pb2.ProposeResponse:
    """Four first steps, then four ways to end."""
    if not request.steps:
        return solution(FIRST_STEPS[index], finish=policy_pb2.FINISH_REASON_STEP)
    return solution(LAST_STEPS[index])


async def scores(target: str, solutions: list[list[ppm_pb2.Step]]) -> list[float]:
    """What the PPM says of partial solutions when it is asked directly."""
    partial = [ppm_pb2.PartialSolution(steps=steps) for steps in solutions]
    request = ppm_pb2.ScoreRequest(search_id="test", problem=PROBLEM, solutions=partial)
    async with rpc.channel(target) as channel:
        reply = await ppm_pb2_grpc.PpmServiceStub(channel).Score(request, timeout=120)
    return [score.value for score in reply.scores]


async def test_the_search_follows_the_scores(ppm_target: str, rig: StartRig) -> None:
    first = await scores(ppm_target, [[ppm_pb2.Step(text=text)] for text in FIRST_STEPS])
    best_first = FIRST_STEPS[first.index(max(first))]
    cups = 10 if "ten things" in best_first else 24
    outputs = [f"{cups - 5}\n", f"{cups}\n", "5\n", f"{cups - 4}\n"]
    last = await scores(
        ppm_target,
        [
            [
                ppm_pb2.Step(text=best_first),
                ppm_pb2.Step(text=text, ends_code=True, output=output),
                # As in training rows, an answer that was printed is written out.
                ppm_pb2.Step(text=f"\\boxed{{{output.strip()}}}"),
            ]
            for text, output in zip(LAST_STEPS, outputs, strict=True)
        ],
    )
    best_answer = outputs[last.index(max(last))].strip()
    assert len(set(first)) == len(first), "the scores tell the steps apart"
    assert len(set(last)) == len(last), "the scores tell the ends apart"

    request = {
        "problem": PROBLEM,
        "budget": {"rollouts": 1},
        "search": {
            "candidates": 4,
            "expansion": "step",
            "answer": "best",
            "exploration": 0.0,
            "seed": 1,
        },
    }
    async with (
        sandbox_server.serving() as sandbox,
        rig(ppm_target=ppm_target, sandbox_target=sandbox.address) as one,
    ):
        one.policy.reply = propose
        reply = await one.client.post("/solve", json=request, timeout=120)
        body = reply.json()
        request["search"]["guided"] = False  # type: ignore[index]
        alone = (await one.client.post("/solve", json=request, timeout=120)).json()
    assert reply.status_code == 200, body
    assert (body["guided"], body["models"]["ppm"]) == (True, VERSION)
    assert (alone["guided"], alone["models"]["ppm"]) == (False, None)
    # The policy was asked to go on from the step that the PPM scored highest, and from no other.
    assert [step.text for step in one.policy.requests[1].steps] == [best_first]
    assert body["answer"] == best_answer
    shown = [step["ppm_score"] for step in body["steps"]]
    assert shown == pytest.approx([max(first), max(last)], abs=1e-3)
    # The first step began with its score as one visit; each of the four ends was backed up.
    assert body["steps"][0]["visits"] == 5
    assert body["steps"][0]["q"] == pytest.approx((max(first) + sum(last)) / 5, abs=1e-3)
