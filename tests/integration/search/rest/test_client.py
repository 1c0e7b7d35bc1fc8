"""The typed client and `rstar keys` against the real service."""

import asyncio
import sys

import pytest

from rstar.client import AsyncClient, Client, Denied, NotFound, Progress, Solution
from tests.integration.search.conftest import Rig, StartRig, until
from tests.support.scripted import votes

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN = "an-admin-key-of-the-settings-0123456789"


def url(one: Rig) -> str:
    """Where the service is."""
    return str(one.client.base_url)


async def test_everything_that_the_client_can(rig: StartRig) -> None:
    async with rig(auth="keys", admin_key=ADMIN) as one:
        one.policy.reply = votes
        async with AsyncClient(url(one), api_key=ADMIN) as admin:
            made = await admin.create_key("test", searches=2)
            assert (made.searches, made.scopes) == (2, ["solve"])
            assert made.id in {key.id for key in await admin.keys()}
            async with AsyncClient(url(one), api_key=made.key) as client:
                events = [
                    event
                    async for event in client.stream(
                        "What is 1 + 1?", {"rollouts": 4}, {"candidates": 4}
                    )
                ]
                assert isinstance(events[0], Progress)
                assert isinstance(events[-1], Solution)
                assert events[-1].answer == "2"
                found = await client.get(events[-1].search_id)
                assert found.solution == events[-1]
                tree = await client.tree(found.search_id)
                assert len(tree.nodes) == events[-1].usage.nodes + 1
                assert [s.search_id async for s in client.searches()] == [found.search_id]
                assert await client.cancel(found.search_id) is False
                with pytest.raises(NotFound):
                    await client.get("0" * 27)
                with pytest.raises(Denied):
                    await client.keys()
            await admin.revoke_key(made.id)
        async with AsyncClient(url(one), api_key=made.key) as client:
            with pytest.raises(Denied):
                await client.solve("?")


async def test_the_sync_client_solves_and_its_leaving_cancels(rig: StartRig) -> None:
    async with rig() as one:

        def solve() -> Solution:
            with Client(url(one)) as client:
                return client.solve("What is 1 + 1?")

        assert (await asyncio.to_thread(solve)).answer == "2"
        one.policy.reply = lambda request, index: None

        def leave() -> None:
            with Client(url(one)) as client:
                events = client.stream("What is 1 + 1?")
                next(events)
                events.close()

        await asyncio.to_thread(leave)
        await until(lambda: one.policy.open_calls == 0 and not one.sandbox.sessions)


async def rstar(one: Rig, *arguments: str, key: str = ADMIN) -> tuple[int, str, str]:
    """Run the command line with a key; exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rstar.main", *arguments, "--url", url(one)),
        env={"RSTAR_API_KEY": key, "PYTHONPATH": ":".join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_keys_are_made_shown_and_revoked_from_the_command_line(rig: StartRig) -> None:
    async with rig(auth="keys", admin_key=ADMIN) as one:
        code, made, _ = await rstar(one, "keys", "create", "nightly", "--searches", "3")
        assert code == 0
        key = made.strip()
        key_id = key.split("_")[1]
        code, out, _ = await rstar(one, "solve", "What is 1 + 1?", "--json", key=key)
        assert (code, '"answer": "2"' in out) == (0, True)
        code, out, _ = await rstar(one, "keys", "list", "--json")
        assert (code, key_id in out, key in out) == (0, True, False)
        code, _, err = await rstar(one, "keys", "list", key=key)
        assert (code, "403 Forbidden" in err, "Traceback" in err) == (1, True, False)
        assert (await rstar(one, "keys", "revoke", key_id))[0] == 0
        code, _, err = await rstar(one, "keys", "revoke", key_id)
        assert (code, "404 Not found" in err) == (1, True)
