"""Models exchanged under load, killed in the middle, and tried beside one another; all real."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from rstar.bench.policy_process import PolicyProcess, Reply
from rstar.bench.reload import PROBLEMS, TOKENS, Tally, caller, exchange, learn
from rstar.bench.variant import publish_pair
from rstar.publish import Publication, publish
from services.common.models import weights
from services.common.models.store import ModelStore, StoredModel
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy.prompts import style_of
from tests.support.adapters import make_adapter
from tests.support.model_service import Server, connect, gone, started
from tests.support.small_policy import make_small_policy

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

LOGPROB_TOLERANCE = 0.02
WAIT_SECONDS = 120


class Rig:
    """A store with two versions, and a policy that follows its alias; it can be started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ModelStore(folder / "store")
        self.truth: dict[str, dict[str, Reply]] = {}
        self._stack = contextlib.AsyncExitStack()
        self.server: Server
        self.policy: PolicyProcess
        self.stub: pb_grpc.PolicyServiceStub
        self.admin: pb_grpc.AdminServiceStub

    async def start(self, **settings: object) -> None:
        """Start the service and wait until it serves."""
        log = self.folder / f"log-{len(list(self.folder.glob('log-*')))}"
        given = {
            "store": self.store.root,
            "model": "production",
            "state": self.folder / "state",
            "poll_seconds": 0.2,
            "admin_token": "bench",
            "kv_cache_gib": 0.5,
            **settings,
        }
        self.server = await self._stack.enter_async_context(started("policy", log, **given))
        channel = await connect(self.server)
        self._stack.push_async_callback(channel.close)
        self.policy = PolicyProcess(self.server.process.pid, channel)
        self.stub = pb_grpc.PolicyServiceStub(channel)
        self.admin = pb_grpc.AdminServiceStub(channel)

    async def close(self) -> None:
        """Stop whatever runs."""
        await self._stack.aclose()

    def point(self, alias: str, version: str) -> None:
        """Move an alias."""
        before = self.store.aliases.target("policy", alias)
        self.store.aliases.move("policy", alias, version, by="test", expect=before)

    async def serves(self, version: str) -> None:
        """Return once a version is served."""
        async with asyncio.timeout(WAIT_SECONDS):
            while (await self.stub.Info(pb.InfoRequest())).model_version != version:
                self.server.check()
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(smollm2: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("reload")
    made = Rig(folder)
    small = make_small_policy(smollm2, made.store, folder / "small")
    publish_pair(made.store, small, folder / "scratch", noise=1.0)
    made.point("production", "first")
    await made.start()
    try:
        made.truth["first"] = await learn(made.policy)
        yield made
    finally:
        await made.close()


def greedy(folder: Path, problem: str) -> tuple[str, float]:
    """What plain transformers writes, and the mean log-probability of its tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    style = style_of("bare", lambda messages: "")
    asked = tokenizer.encode(style.prompt(problem, []), add_special_tokens=style.special_tokens)
    with torch.no_grad():
        written = model.generate(
            torch.tensor([asked]),
            max_new_tokens=TOKENS,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    new = written.sequences[0, len(asked) :]
    logprobs = torch.stack(written.logits)[:, 0].log_softmax(-1).gather(1, new[:, None])
    steps = style.split([], tokenizer.decode(new))
    return "\n".join(step.text for step in steps), float(logprobs.mean())


async def test_under_load_no_request_fails_and_every_label_is_true(rig: Rig) -> None:
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
    rig: Rig,
) -> None:
    """Also for the version that was only ever exchanged in: all of its weights are in place."""
    problem = PROBLEMS[0]
    for version in ("first", "second"):
        text, logprob = greedy(rig.store.path("policy", version), problem)
        reply = rig.truth[version][problem]
        assert (reply.version, reply.text) == (version, text)
        assert reply.logprob == pytest.approx(logprob, abs=LOGPROB_TOLERANCE)


async def test_a_version_that_is_damaged_changes_nothing(rig: Rig) -> None:
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
    rig: Rig, smollm2: StoredModel
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


async def test_only_admins_load_and_unknown_versions_are_named(rig: Rig) -> None:
    async def refusal(model: str, token: str) -> grpc.StatusCode:
        metadata = (("authorization", token),) if token else ()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.admin.Load(pb.LoadRequest(model=model), metadata=metadata, timeout=30)
        return raised.value.code()

    for token in ("", "Bearer wrong", "bench", "Bearer "):
        assert await refusal("second", token) is grpc.StatusCode.PERMISSION_DENIED
    assert await refusal("absent", "Bearer bench") is grpc.StatusCode.NOT_FOUND
    assert await refusal("", "Bearer bench") is grpc.StatusCode.INVALID_ARGUMENT


async def test_killed_in_an_exchange_it_comes_back_on_the_last_good_version(rig: Rig) -> None:
    await rig.policy.load("first")
    rig.point("production", "first")
    state = rig.folder / "state"

    def begun() -> bool:
        return any(json.loads(p.read_text())["begun"] for p in state.glob("*.json"))

    children = rig.server.children()
    loading = asyncio.create_task(rig.policy.load("second"))
    async with asyncio.timeout(WAIT_SECONDS):
        while not begun():
            await asyncio.sleep(0)
    rig.server.process.kill()
    await asyncio.gather(loading, return_exceptions=True)
    await rig.server.exit_code()
    await gone(children)
    rig.point("production", "second")

    # One adapter more at once: the service that comes back serves trials too.
    await rig.start(trials="candidate")
    served = re.findall(r"serving .*model=(\S+)", rig.server.log.read_text("utf-8"))
    assert served[0] == "first"
    await rig.serves("second")
    reply = await rig.policy.propose(PROBLEMS[0], TOKENS)
    known = rig.truth["second"][PROBLEMS[0]]
    assert (reply.version, reply.text) == ("second", known.text)


async def test_a_candidate_is_tried_beside_production_by_its_adapter(rig: Rig) -> None:
    """What an adapter served beside its base gives is what it gives merged."""
    config = weights.read_config(rig.store.path("policy", "second"))
    size = int(config["hidden_size"])
    adapter = make_adapter(
        rig.folder / "adapter",
        module="model.layers.0.self_attn.q_proj",
        shape=(size, size),
        size=0.5,
    )
    publish(rig.store, Publication("policy", "tuned", adapter, parent="second"))
    rig.point("candidate", "tuned")
    async with asyncio.timeout(WAIT_SECONDS):
        while list((await rig.stub.Info(pb.InfoRequest())).trial_versions) != ["tuned"]:
            rig.server.check()
            await asyncio.sleep(0.05)
    problem = PROBLEMS[0]
    trial, main = await asyncio.gather(
        rig.policy.propose(problem, TOKENS, "tuned"), rig.policy.propose(problem, TOKENS)
    )
    assert (trial.version, main.version) == ("tuned", "second")
    assert main.text == rig.truth["second"][problem].text
    assert (trial.text, trial.logprob) != (main.text, main.logprob)
    # The same service, exchanged to the merged weights of that version.
    await rig.policy.load("tuned")
    merged = await rig.policy.propose(problem, TOKENS)
    assert (merged.version, merged.text) == ("tuned", trial.text)
    assert merged.logprob == pytest.approx(trial.logprob, abs=0.05)
    assert list((await rig.stub.Info(pb.InfoRequest())).trial_versions) == []
