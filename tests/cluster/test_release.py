"""The chart's life on a real API server, in order: each test goes on where the last one ended."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from rstar.client import AsyncClient, Denied, Retry, Solution
from services.common.models.manifest import Kind
from tests.cluster.certificates import SECRET, Certificates
from tests.cluster.conftest import HARVESTED, PROBLEMS, Cluster
from tests.cluster.evolution import ALIAS, BASE, NAME, Evolution
from tests.cluster.kubelet.images import give_to_user
from tests.cluster.redis import Redis
from tests.cluster.release import NAME as RELEASE
from tests.cluster.release import values
from tests.support.training import losses, make_base, sums
from trainer.harvest.run import HarvestFolder
from trainer.harvest.summary import summarise
from trainer.training.files import write

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

BUDGET = {"rollouts": 4, "tokens": 400, "seconds": 300}
SEARCH = {"candidates": 2}
TRAINING_STEPS = 6
NEW_PASSWORD = "fedcba9876543210" * 3
NEW_KEY = "rotated-" + "0123456789abcdef" * 2


@contextlib.asynccontextmanager
async def client_of(cluster: Cluster, scheme: str = "http") -> AsyncIterator[AsyncClient]:
    """A client of the search's Service."""
    url = f"{scheme}://{await cluster.release.address('search')}:80"
    # The only sandbox and the only policy are killed too: new searches wait for their return.
    patience = Retry(attempts=60, longest_pause_seconds=1.0)
    key = await cluster.release.admin_key()
    async with AsyncClient(url, api_key=key, retry=patience) as client:
        yield client


def problem(number: int) -> str:
    """A problem that no other has."""
    return f"Tom has {number} apples and buys 3 more. How many apples does Tom have now?"


class Load:
    """Problems solved one after another, by some callers side by side."""

    def __init__(self, client: AsyncClient, question: str = "") -> None:
        """The same problem again and again where one is given."""
        self.solutions: list[Solution] = []
        self._question = question
        self._client = client
        self._over = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self, callers: int) -> AsyncIterator[None]:
        """Go on while the block runs; then let the callers end. Raises what a caller has met."""
        async with asyncio.TaskGroup() as group:
            for caller in range(callers):
                group.create_task(self._call(1000 * caller))
            try:
                yield
            finally:
                self._over.set()

    async def _call(self, number: int) -> None:
        while not self._over.is_set():
            number += 1
            asked = self._question or problem(number)
            self.solutions.append(await self._client.solve(asked, BUDGET, SEARCH))


async def test_install_is_ready_and_solves(cluster: Cluster) -> None:
    await cluster.release.install()
    for component, count in {"search": 2, "sandbox": 1, "policy-main": 1, "redis": 1}.items():
        pods = await cluster.release.pods(component)
        assert len(pods) == count
        assert all(one["status"]["phase"] == "Running" for one in pods)
    async with client_of(cluster) as client:
        solution = await client.solve(problem(1), BUDGET, SEARCH)
    assert solution.usage.rollouts > 0
    assert solution.usage.policy_tokens > 0


async def test_an_upgrade_with_changed_values_fails_no_caller(cluster: Cluster) -> None:
    before = {one["metadata"]["uid"] for one in await cluster.release.pods("search")}
    async with client_of(cluster) as client:
        load = Load(client)
        async with load.running(callers=3):
            await cluster.release.upgrade(
                *values(search__settings__max_searches=48, sandbox__settings__max_queue=300)
            )
    after = await cluster.release.pods("search")
    assert before.isdisjoint(one["metadata"]["uid"] for one in after)
    assert {"name": "RSTAR_SEARCH_MAX_SEARCHES", "value": "48"} in (
        after[0]["spec"]["containers"][0]["env"]
    )
    assert load.solutions


async def test_no_search_is_lost_while_pods_are_scaled_and_killed(cluster: Cluster) -> None:
    async with client_of(cluster) as client:
        ids = [await client.submit(problem(n), BUDGET, SEARCH) for n in range(10)]
        await cluster.release.upgrade(*values(search__replicas=3))
        ids += [await client.submit(problem(n), BUDGET, SEARCH) for n in range(10, 20)]
        await kill(cluster, "search")
        await kill(cluster, "sandbox")
        await asyncio.sleep(1)
        ids += [await client.submit(problem(n), BUDGET, SEARCH) for n in range(20, 24)]
        await cluster.release.upgrade(*values(search__replicas=1))
        assert len(await cluster.release.pods("search")) == 1
        outcomes = await asyncio.gather(*(solved(client, search_id) for search_id in ids))
    assert len(outcomes) == 24
    assert all(one.usage.rollouts > 0 for one in outcomes)


async def kill(cluster: Cluster, component: str) -> None:
    """Kill a pod's process from outside, as a failing machine does; the kubelet starts it again."""
    pods = await cluster.release.pods(component)
    chosen = random.choice([one for one in pods if one["status"]["phase"] == "Running"])
    for container in cluster.node.pods[chosen["metadata"]["uid"]].containers:
        container.signal(signal.SIGKILL)


async def solved(client: AsyncClient, search_id: str) -> Solution:
    """The solution of a search that was submitted."""
    async for event in client.watch(search_id):
        if isinstance(event, Solution):
            return event
    raise AssertionError(f"{search_id} ended without a solution")


async def test_a_harvest_job_searches_every_problem(cluster: Cluster) -> None:
    run = {
        "problems": f"/data/{PROBLEMS}",
        "workers": 2,
        "concurrency": 2,
        "arguments": ["--budget", "rollouts=2,tokens=200,seconds=300", "--set", "candidates=2"],
    }
    data = {"size": "2Gi"}
    await cluster.release.upgrade(
        *values(trainer__harvest__runs={"tried": run}, trainer__data__persistence=data)
    )
    await cluster.release.finished("feed")
    await cluster.release.finished("work")
    harvest = HarvestFolder(cluster.volumes / "data" / "harvests" / "tried")
    summary = summarise(harvest)
    assert (summary.items, summary.done, summary.failed) == (HARVESTED, HARVESTED, 0)
    assert summary.nodes > 0


async def test_a_training_job_trains_with_two_processes(cluster: Cluster) -> None:
    data = cluster.volumes / "data"
    await asyncio.to_thread(fill_training, data)
    run = {
        "kind": "policy",
        "processes": 2,
        "config": {
            "data": ["/data/rows.jsonl"],
            "base": "/data/base",
            "output": "/data/trained",
            "sharding": "fsdp",
            "max_steps": TRAINING_STEPS,
            "batch": 16,
            "micro_batch": 8,
            "log_steps": 1,
            "held_out": 0.2,
            "learning_rate": 1e-2,
            "epochs": 4,
            "report_to": [],
        },
    }
    await cluster.release.upgrade(
        *values(
            trainer__training__runs={"tried": run},
            trainer__data__persistence={"size": "2Gi"},
            trainer__env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        )
    )
    await cluster.release.finished("train")
    trained = losses(data / "trained")
    assert len(trained) == TRAINING_STEPS
    assert trained[-1] < trained[0]
    assert list((data / "trained" / "model").glob("*.safetensors"))


def fill_training(folder: Path) -> None:
    """A random model and rows to train it with, as the Job finds them below /data."""
    make_base(folder / "base")
    write(folder / "rows.jsonl", sums(64))
    give_to_user(folder)


async def test_another_admin_key_takes_over_with_a_restart(cluster: Cluster) -> None:
    old = await cluster.release.admin_key()
    await cluster.release.change_secret("auth", {"admin-key": NEW_KEY})
    await cluster.release.restart("rstar-search")
    url = f"http://{await cluster.release.address('search')}"
    async with client_of(cluster) as client:
        assert (await client.solve(problem(3), BUDGET, SEARCH)).usage.rollouts > 0
    async with AsyncClient(url, api_key=old) as stale:
        with pytest.raises(Denied):
            await stale.solve(problem(3), BUDGET, SEARCH)


async def test_another_password_of_redis_takes_over_while_callers_go_on(cluster: Cluster) -> None:
    redis = await Redis.of(cluster)
    old, lives_before = await redis.password(), redis.lives()
    async with client_of(cluster) as client:
        ids = [await client.submit(problem(n), BUDGET, SEARCH) for n in range(4)]
        load = Load(client)
        async with load.running(callers=2):
            await redis.accept(NEW_PASSWORD)
            await redis.tell_services(NEW_PASSWORD)
            await cluster.release.restart("-l", "app.kubernetes.io/part-of=rstar")
            await redis.follows_secret()
            await redis.forget(old)
            solved_before = len(load.solutions)
            async with asyncio.timeout(300):
                while len(load.solutions) < solved_before + 3:
                    await asyncio.sleep(0.2)
        outcomes = await asyncio.gather(*(solved(client, search_id) for search_id in ids))
    assert all(one.usage.rollouts > 0 for one in (*outcomes, *load.solutions))
    assert await redis.takes(NEW_PASSWORD)
    assert not await redis.takes(old)
    assert redis.lives() == lives_before, "Redis need not be restarted"


async def test_rounds_go_on_after_a_kill_and_services_follow_them(cluster: Cluster) -> None:
    evolution = Evolution(cluster.volumes)
    await asyncio.to_thread(evolution.prepare)
    await cluster.release.upgrade(*values(**evolution.values()))
    before = await lives(cluster)
    async with asyncio.timeout(300):
        while not evolution.harvested.exists():
            await asyncio.sleep(0.2)
    harvested = evolution.harvested.stat().st_mtime_ns
    await kill(cluster, "trainer")
    await cluster.release.finished("evolve")
    assert evolution.harvested.stat().st_mtime_ns == harvested, "the searches were done again"
    assert all(result is not None for result in evolution.results())
    first, last = f"{NAME}-r1", f"{NAME}-r2"
    assert evolution.versions("policy", ALIAS)[:2] == [BASE, first]
    for kind in get_args(Kind):
        assert evolution.versions(kind, ALIAS)[-1] == last
        assert evolution.versions(kind, "production") == [first, last]
    async with client_of(cluster) as client:
        solution = await client.solve(evolution.question(), BUDGET, SEARCH)
    assert (solution.models.policy, solution.models.ppm) == (last, last)
    assert await lives(cluster) == before


async def lives(cluster: Cluster) -> dict[str, int]:
    """Restarts of the containers that serve models, by their pods' ids."""
    return {
        pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"]
        for component in ("policy-main", "ppm")
        for pod in await cluster.release.pods(component)
    }


async def test_a_new_certificate_takes_over_without_a_failed_caller(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolution = Evolution(cluster.volumes)
    await asyncio.to_thread(evolution.prepare)
    pods = ("search", "search-grpc", "sandbox", "ppm", "policy-main")
    names = [f"{RELEASE}-{one}" for one in pods]
    certificates = Certificates(cluster.api, *names, await cluster.release.address("search"))
    await certificates.issue()
    tls = {"tls__enabled": True, "tls__existingSecret": SECRET}
    await cluster.release.upgrade(*values(**evolution.served(), **tls))
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificates.authority)
    monkeypatch.setenv("RSTAR_TLS_CA", str(authority))
    async with client_of(cluster, "https") as client:
        load = Load(client, evolution.question())
        async with load.running(callers=2):
            await certificates.renew()
            await cluster.release.restart("-l", "app.kubernetes.io/part-of=rstar")
        assert load.solutions
        assert all(one.usage.rollouts > 0 for one in load.solutions)
    for component in ("search", "sandbox", "ppm", "policy-main"):
        for pod in await cluster.release.pods(component):
            ports = {one["name"]: one for one in pod["spec"]["containers"][0]["ports"]}
            port = ports["grpc"]["containerPort"]
            assert await certificates.shown_by(pod["status"]["podIP"], port), component


async def test_roll_back(cluster: Cluster) -> None:
    redis = await Redis.of(cluster)
    # What docs/operations.md says to do where a password was rotated since.
    await redis.accept(await cluster.release.redis_password_of(1))
    await cluster.release.rollback(1)
    assert await redis.password() != NEW_PASSWORD
    # Helm writes the key of that revision again, as docs/operations.md warns.
    assert await cluster.release.admin_key() != NEW_KEY
    await cluster.release.restart("rstar-search")
    (pod, *_) = await cluster.release.pods("search")
    assert {"name": "RSTAR_SEARCH_MAX_SEARCHES", "value": "32"} in (
        pod["spec"]["containers"][0]["env"]
    )
    async with client_of(cluster) as client:
        assert (await client.solve(problem(2), BUDGET, SEARCH)).usage.rollouts > 0


async def test_uninstall_leaves_nothing_but_the_data(cluster: Cluster) -> None:
    await cluster.release.uninstall()
    async with asyncio.timeout(60):
        while any("pods/" in one for one in await cluster.release.leftovers()):
            await asyncio.sleep(0.5)
    left = await cluster.release.leftovers()
    assert sorted(left) == [
        "persistentvolumeclaims/data-rstar-redis-0",
        "persistentvolumeclaims/rstar-data",
        "persistentvolumeclaims/rstar-models",
    ]
    assert not cluster.node.pods
