"""A policy on S3: killed in a download and in a proof, and given other architectures."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from rstar.bench.reload import PROBLEMS, TOKENS, Tally, caller, learn
from rstar.bench.variant import publish_pair
from services.common.models.remote import RemoteBackend
from services.common.models.store import ModelStore, StoredModel
from tests.support.greedy import greedy
from tests.support.policy_rig import WAIT_SECONDS, PolicyRig
from tests.support.s3_server import environment, s3_server
from tests.support.small_policy import make_small_policy
from tests.support.stalling_proxy import StallingProxy, stalling_proxy

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

# Manifests and records pass, weights do not.
SMALL_BYTES = 8 * 1024 * 1024
# Takes a second or so to hash, and no room on the disk.
HEAVY_BYTES = 768 * 1024 * 1024


class RemoteRig(PolicyRig):
    """A policy on S3, whose replies can be held back."""

    proxy: StallingProxy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(
    smollm2: StoredModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RemoteRig]:
    folder = tmp_path_factory.mktemp("killed")
    with s3_server(folder / "s3") as fields:
        at = urlsplit(fields["AWS_ENDPOINT_URL"])
        with stalling_proxy((str(at.hostname), int(at.port or 0))) as proxy:
            through = {**fields, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
            with environment(through):
                made = RemoteRig(folder, "s3://models/killed")
                made.proxy = proxy
                small = make_small_policy(smollm2, made.store, folder / "small", layers=3)
                publish_pair(made.store, small, folder / "scratch", noise=1.0)
                make_small_policy(smollm2, made.store, folder / "low", version="shallow", layers=2)
                made.point("production", "first")
                await made.start()
                try:
                    made.truth["first"] = await learn(made.policy)
                    yield made
                finally:
                    proxy.release()
                    await made.close()


async def replies_are_of(rig: RemoteRig, version: str) -> None:
    """Fail unless the service's replies are what transformers makes of a version."""
    known = greedy(rig.store.path("policy", version), PROBLEMS[:1], TOKENS)[PROBLEMS[0]]
    reply = await rig.policy.propose(PROBLEMS[0], TOKENS)
    assert (reply.version, reply.text) == (version, known.text)
    assert reply.logprob == pytest.approx(known.logprob, abs=0.02)


async def test_killed_in_a_download_it_comes_back_on_the_last_good_version(
    rig: RemoteRig,
) -> None:
    for restarted in (False, True):
        rig.proxy.stall(after=SMALL_BYTES)
        if restarted:
            await rig.start()
            assert rig.first_served() == "first"
        else:
            rig.point("production", "second")
        assert await asyncio.to_thread(rig.proxy.stalled.wait, WAIT_SECONDS)
        assert rig.begun() == {"second"}
        # A download disturbs nobody.
        await replies_are_of(rig, "first")
        if not restarted:
            await rig.kill()
            rig.proxy.release()
    rig.proxy.release()
    await rig.serves("second")
    await replies_are_of(rig, "second")


async def under_load(rig: RemoteRig, version: str, *, how: str) -> None:
    """Load a version under 8 callers, none of whom may see a failure or a wrong label."""
    for name in ("first", "second", "shallow"):
        if name not in rig.truth:
            rig.truth[name] = greedy(rig.store.path("policy", name), PROBLEMS, TOKENS)
    tally = Tally()
    callers = [
        asyncio.create_task(caller(number, rig.policy, rig.truth, tally)) for number in range(8)
    ]
    try:
        loaded = await rig.policy.load(version)
        seen = tally.requests
        async with asyncio.timeout(WAIT_SECONDS):
            while not tally.by_version.get(version) or tally.requests < seen + 8:
                await asyncio.sleep(0.02)
    finally:
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    assert (loaded.model_version, loaded.how) == (version, how)
    assert (tally.failures, tally.lies) == ([], [])
    # The engine before has gone, with its memory.
    assert len([one for one in rig.server.children() if "EngineCore" in one.name()]) == 1


async def test_another_architecture_restarts_the_engine_behind_the_same_port(
    rig: RemoteRig,
) -> None:
    await under_load(rig, "shallow", how="restart")


async def test_killed_in_a_proof_it_comes_back_on_the_last_good_version(
    rig: RemoteRig, tmp_path: Path
) -> None:
    """A version that was fetched before and is being proved: its cached copy is hashed again."""
    scratch = tmp_path / "scratch"
    shutil.copytree(rig.store.path("policy", "shallow"), scratch)
    (scratch / "manifest.json").unlink()
    (scratch / "NOTES.md").touch()
    os.truncate(scratch / "NOTES.md", HEAVY_BYTES)
    local = ModelStore(tmp_path / "store")
    heavy = local.publish("policy", "heavy", scratch, licence="MIT", prompt_style="bare", move=True)
    backend = rig.store.backend
    assert isinstance(backend, RemoteBackend)
    manifest = heavy.path / "manifest.json"
    backend._fs.put_file(str(manifest), backend._key("policy", "heavy", "manifest.json"))
    heavy.path.rename(rig.folder / "cache/policy/heavy")

    rig.point("production", "heavy")
    pid = rig.server.process.pid
    async with asyncio.timeout(WAIT_SECONDS):
        while not opened(pid, "policy/heavy/NOTES.md"):
            await asyncio.sleep(0.001)
    os.kill(pid, signal.SIGSTOP)
    assert opened(pid, "policy/heavy/NOTES.md")
    assert rig.begun() == {"heavy"}
    await rig.kill()

    await rig.start(second_engine="true")
    assert rig.first_served() == "shallow"
    # What was under suspicion is tried again, and is good.
    await rig.serves("heavy")


async def test_a_second_engine_is_warmed_before_the_first_one_goes(rig: RemoteRig) -> None:
    rig.point("production", "shallow")
    await rig.serves("shallow")
    await under_load(rig, "first", how="second_engine")


def opened(pid: int, name: str) -> bool:
    """Whether a process has a file open."""
    files = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            files.append(link.readlink().as_posix())
        except FileNotFoundError:  # closed since it was listed
            continue
    return any(file.endswith(name) for file in files)
