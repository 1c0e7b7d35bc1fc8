"""The store of searches on a real Redis: one server, and a cluster of one node."""

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import redis
import redis.asyncio

from rstar.stack.ports import free_ports
from rstar.stack.redis_server import binary
from services.search.node import ROOT_ID
from services.search.schemas import Progress, SolveRequest, Usage
from services.search.store import keys
from services.search.store.connection import Connection
from services.search.store.events import Started, TrialTold, TrialUsage
from services.search.store.leases import Leases
from services.search.store.searches import SearchStore
from services.search.tree import Candidate, Expanded
from tests.integration.search.conftest import wait_for
from tests.support.search_world import answered, config, step

# No test is so slow that a lease runs out by itself: `expire` ends it.
LEASE_SECONDS = 100.0
SHORT_LEASE_SECONDS = 0.5


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node, which refuses commands and scripts whose keys have several slots."""
    folder = tmp_path_factory.mktemp("cluster")
    port, bus = free_ports("127.0.0.1", 2)
    command = [str(binary()), "--port", str(port), "--dir", str(folder), "--save", ""]
    command += ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            wait_for(lambda: _answers(client))
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_for(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        yield f"redis+cluster://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _answers(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.exceptions.ConnectionError):
        return bool(client.ping())
    return False


class Replica:
    """What one replica has of the store."""

    def __init__(self, url: str, name: str, lease_seconds: float = LEASE_SECONDS) -> None:
        self.connection = Connection(url, timeout_seconds=5)
        self.store = SearchStore(
            self.connection, replica=name, lease_seconds=lease_seconds, retention_seconds=60
        )
        self.leases = Leases(self.connection, self.store, lease_seconds=lease_seconds)

    async def expire(self, search_id: str) -> None:
        """Do to a lease what time does."""
        assert await self.connection.command("DEL", keys.lease(search_id)) == 1


@pytest.fixture(params=["one server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    """Either Redis."""
    name = "redis_url" if request.param == "one server" else "cluster_url"
    found: str = request.getfixturevalue(name)
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def replicas(url: str) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas over one Redis, in which no search is open."""
    pair = Replica(url, "first"), Replica(url, "second")
    await pair[0].connection.command("DEL", keys.OPEN)
    yield pair
    for one in pair:
        await one.connection.close()


def started(**request: object) -> Started:
    """The first event of a log."""
    fields = {"problem": "What is 1 + 1?", **request}
    return Started(SolveRequest(**fields), config(), seed=7, ppm=None)  # type: ignore[arg-type]


def told(number: int, rollouts: int = 1) -> TrialTold:
    """A trial that drew one solution at the root."""
    solution = Candidate((step(f"# Step 1: {number}"), answered("# Step 2", "2")))
    usage = Usage(rollouts=rollouts, policy_tokens=10 * rollouts)
    return TrialTold(
        Expanded(number, number, ROOT_ID, 1, (solution,)),
        TrialUsage(policy_tokens=10),
        Progress(search_id="s", answer="2", confidence=0.75, usage=usage),
        ("p",),
    )
