"""A policy so slow that no trial ends: searches keep their time, and one that kills is given up."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
import pytest_asyncio

from services.search.store.events import Failed, Started
from tests.integration.search.chaos.conftest import ended, no_key_is_left
from tests.support.fleet import Fleet, running, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADOPTIONS = 2


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slow() -> AsyncIterator[Fleet]:
    """One replica, and a policy that thinks for longer than any test waits."""
    with TemporaryDirectory(prefix="rstar-") as folder:
        async with running(
            Path(folder),
            replicas=1,
            think_seconds=600.0,
            lease_seconds=0.5,
            adoption_seconds=0.1,
            max_adoptions=ADOPTIONS,
            log_level="info",
        ) as started:
            yield started
            # The sandbox session that a killed replica opened goes when it has been idle for long.
            await no_key_is_left(started)


async def begin(fleet: Fleet, **changes: object) -> httpx.Response:
    body = {"problem": "How much is 1 + 1?", "search": {"candidates": 2}} | changes
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(f"{fleet.replicas[0].url}/solve", json=body)


async def test_a_slow_policy_costs_no_search_and_no_search_more_than_its_time(slow: Fleet) -> None:
    reply = await begin(slow, budget={"seconds": 1})
    assert reply.status_code == 200, reply.text
    solution = reply.json()
    assert (solution["answer"], solution["stop_reason"]) == (None, "seconds")


async def test_a_search_whose_replicas_are_killed_again_and_again_is_given_up(slow: Fleet) -> None:
    replica = slow.replicas[0]
    reply = await begin(slow, **{"async": True, "budget": {"seconds": 300}})
    search_id = reply.json()["search_id"]

    for taken in range(1, ADOPTIONS + 1):
        await replica.kill()
        await replica.start()

        async def adopted(times: int = taken) -> bool:
            return replica.said().count("search adopted") == times

        await until(adopted)
    await replica.kill()
    await replica.start()

    log = await ended(slow, search_id)
    started, last = [entry.event for entry in log]
    assert isinstance(started, Started)
    assert isinstance(last, Failed)
    assert (last.cause, last.detail) == ("internal", "2 replicas took it over and logged no trial")
    async with httpx.AsyncClient(timeout=30) as client:
        assert (await client.get(f"{replica.url}/searches/{search_id}")).json()[
            "status"
        ] == "failed"
    # The replica that gave it up lives on.
    assert (await begin(slow, budget={"seconds": 1})).status_code == 200
