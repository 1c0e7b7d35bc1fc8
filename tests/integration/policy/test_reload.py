"""Models exchanged under load, killed in the middle, and tried beside one another; all real."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from rstar.bench.reload import PROBLEMS, TOKENS, Tally, caller, exchange, learn
from rstar.bench.variant import publish_pair
from rstar.publish import Publication, publish
from services.common.models import weights
from services.common.models.store import StoredModel
from services.common.pb.policy.v1 import policy_pb2 as pb
from tests.support.adapters import make_adapter
from tests.support.greedy import greedy
from tests.support.policy_rig import WAIT_SECONDS, PolicyRig
from tests.support.small_policy import make_small_policy

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

LOGPROB_TOLERANCE = 0.02


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(
    smollm2: StoredModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PolicyRig]:
    folder = tmp_path_factory.mktemp("reload")
    made = PolicyRig(folder)
    small = make_small_policy(smollm2, made.store, folder / "small")
    publish_pair(made.store, small, folder / "scratch", noise=1.0)
    made.point("production", "first")
    await made.start()
    try:
        made.truth["first"] = await learn(made.policy)
        yield made
    finally:
        await made.close()


async def test_under_load_no_request_fails_and_every_label_is_true(rig: PolicyRig) -> None:
    rig.point("production", "second")
    await rig.serves("second")
    rig.truth["second"] = await learn(rig.policy)
    for problem in PROBLEMS:
        assert rig.truth["first"][problem].text != rig.truth["second"][problem].text
    tally = Tally()
    callers = [
        asyncio.create_task(caller(number, rig.policy, rig.truth, tally)) for number in range(16)
    ]
    try:
        pauses, _, _ = await exchange(rig.policy, ("second", "first"), 4, tally)
    finally:
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    assert len(pauses) == 4
    assert (tally.failures, tally.lies) == ([], [])
    assert set(tally.by_version) == {"first", "second"}
    # No key or value of the other weights is left: as a fresh engine had it.
    await rig.policy.load("first")
    for problem, reply in (await learn(rig.policy)).items():
        known = rig.truth["first"][problem]
        assert (reply.version, reply.text) == ("first", known.text)
        assert reply.logprob == pytest.approx(known.logprob, abs=LOGPROB_TOLERANCE)


async def test_replies_are_those_of_plain_transformers_on_the_weights_of_the_label(
    rig: PolicyRig,
) -> None:
    """Also for the version that was only ever exchanged in: all of its weights are in place."""
    problem = PROBLEMS[0]
    for version in ("first", "second"):
        true = greedy(rig.store.path("policy", version), [problem], TOKENS)[problem]
        reply = rig.truth[version][problem]
        assert (reply.version, reply.text) == (version, true.text)
        assert reply.logprob == pytest.approx(true.logprob, abs=LOGPROB_TOLERANCE)


async def test_a_version_that_is_damaged_changes_nothing(rig: PolicyRig) -> None:
    await rig.policy.load("first")
    folder = rig.store.path("policy", "second")
    weights_file = folder / "model.safetensors"
    content = weights_file.read_bytes()
    header = weights.read_header(weights_file)
    spoilt = bytearray(content)
    spoilt[header["model.norm.weight"].start] ^= 0xFF
    weights_file.write_bytes(spoilt)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.policy.load("second")
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "model.safetensors: altered" in (raised.value.details() or "")
    finally:
        weights_file.write_bytes(content)
    assert (await rig.policy.propose(PROBLEMS[0], TOKENS)).version == "first"


async def test_weights_that_compute_no_numbers_are_taken_back(
    rig: PolicyRig, smollm2: StoredModel
) -> None:
    """The manifest is in order, the weights load, and still the version must not be served."""
    scratch = rig.folder / "broken"
    scratch.mkdir()
    for path in rig.store.path("policy", "first").iterdir():
        if path.name != "manifest.json":
            (scratch / path.name).write_bytes(path.read_bytes())
    tensor = weights.read_header(scratch / "model.safetensors")["model.norm.weight"]
    with (scratch / "model.safetensors").open("r+b") as file:
        file.seek(tensor.start)
        file.write(b"\xc0\x7f" * ((tensor.end - tensor.start) // 2))  # bf16 NaN
    publish(rig.store, Publication("policy", "broken", scratch, "MIT", "bare"))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await rig.policy.load("broken")
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    reply = await rig.policy.propose(PROBLEMS[0], TOKENS)
    known = rig.truth["first"][PROBLEMS[0]]
    assert (reply.version, reply.text) == ("first", known.text)
    assert reply.logprob == pytest.approx(known.logprob, abs=LOGPROB_TOLERANCE)


async def test_only_admins_load_and_unknown_versions_are_named(rig: PolicyRig) -> None:
    async def refusal(model: str, token: str) -> grpc.StatusCode:
        metadata = (("authorization", token),) if token else ()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.admin.Load(pb.LoadRequest(model=model), metadata=metadata, timeout=30)
        return raised.value.code()

    for token in ("", "Bearer wrong", "bench", "Bearer "):
        assert await refusal("second", token) is grpc.StatusCode.PERMISSION_DENIED
    assert await refusal("absent", "Bearer bench") is grpc.StatusCode.NOT_FOUND
    assert await refusal("", "Bearer bench") is grpc.StatusCode.INVALID_ARGUMENT


async def test_killed_in_an_exchange_it_comes_back_on_the_last_good_version(rig: PolicyRig) -> None:
    await rig.policy.load("first")
    rig.point("production", "first")
    loading = asyncio.create_task(rig.policy.load("second"))
    async with asyncio.timeout(WAIT_SECONDS):
        while rig.begun() != {"second"}:
            await asyncio.sleep(0)
    await rig.kill()
    await asyncio.gather(loading, return_exceptions=True)
    rig.point("production", "second")

    # Room for two adapters: the service that comes back serves trials too.
    await rig.start(trials="candidate,shadow")
    assert rig.first_served() == "first"
    await rig.serves("second")
    reply = await rig.policy.propose(PROBLEMS[0], TOKENS)
    known = rig.truth["second"][PROBLEMS[0]]
    assert (reply.version, reply.text) == ("second", known.text)


async def test_candidates_are_tried_beside_production_by_their_adapters(rig: PolicyRig) -> None:
    """What an adapter served beside its base gives is what it gives merged; two at once."""
    config = weights.read_config(rig.store.path("policy", "second"))
    size = int(config["hidden_size"])
    for seed, (alias, version) in enumerate((("candidate", "tuned"), ("shadow", "other"))):
        adapter = make_adapter(
            rig.folder / f"adapter-{version}",
            module="model.layers.0.self_attn.q_proj",
            shape=(size, size),
            size=0.5,
            seed=seed,
        )
        publish(rig.store, Publication("policy", version, adapter, parent="second"))
        rig.point(alias, version)
    async with asyncio.timeout(WAIT_SECONDS):
        trials = {"tuned", "other"}
        while set((await rig.stub.Info(pb.InfoRequest())).trial_versions) != trials:
            rig.server.check()
            await asyncio.sleep(0.05)
    # All in one batch of the engine, each by its own weights, whatever stands beside it.
    asked = ["tuned", "", "other"] * 3
    problems = [PROBLEMS[number % 3] for number in range(len(asked))]
    replies = await asyncio.gather(
        *(
            rig.policy.propose(p, TOKENS, version)
            for p, version in zip(problems, asked, strict=True)
        )
    )
    merged = {
        version: greedy(rig.store.path("policy", version), PROBLEMS[:3], TOKENS)
        for version in ("tuned", "other", "second")
    }
    assert len({merged[version][PROBLEMS[0]].logprob for version in merged}) == 3
    for problem, version, reply in zip(problems, asked, replies, strict=True):
        known = merged[version or "second"][problem]
        assert (reply.version, reply.text) == (version or "second", known.text)
        assert reply.logprob == pytest.approx(known.logprob, abs=0.05)
    # The same service, exchanged to the merged weights of one; the others' base is gone.
    await rig.policy.load("tuned")
    reply = await rig.policy.propose(PROBLEMS[0], TOKENS)
    assert (reply.version, reply.text) == ("tuned", merged["tuned"][PROBLEMS[0]].text)
    assert list((await rig.stub.Info(pb.InfoRequest())).trial_versions) == []
