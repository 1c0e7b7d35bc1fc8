"""Searches by their ids: async, looked at, followed, taken up again, cancelled, listed."""

import asyncio
import json
from typing import Any

import pytest

from services.search.forest import Forest
from services.search.store.events import Started, TrialTold
from tests.integration.search.conftest import Rig, StartRig, until
from tests.support.scripted import votes

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROBLEM = {"problem": "What is 1 + 1?", "search": {"candidates": 4, "seed": 7}}
UNKNOWN = "0" * 27


async def submit(one: Rig, **changes: object) -> str:
    """Begin a search; its id."""
    reply = await one.client.post("/solve", json={**PROBLEM, "async": True, **changes})
    assert reply.status_code == 202, reply.text
    search_id: str = reply.json()["search_id"]
    assert reply.headers["location"] == reply.json()["location"] == f"/searches/{search_id}"
    return search_id


async def read(one: Rig, path: str, **headers: str) -> list[dict[str, Any]]:
    """All events of a stream that ends: id, name and data."""
    reply = await one.client.get(
        path, headers={name.replace("_", "-"): headers[name] for name in headers}
    )
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    return parse(reply.text)


def parse(text: str) -> list[dict[str, Any]]:
    """Events out of a stream's text."""
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":")
        if fields:
            events.append({**fields, "data": json.loads(fields["data"])})
    return events


async def test_a_search_goes_on_without_its_caller_and_is_found_again(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        search_id = await submit(one)
        events = await read(one, f"/searches/{search_id}/events")
        detail = (await one.client.get(f"/searches/{search_id}")).json()
        assert (detail["status"], detail["answer"], detail["method"]) == ("finished", "2", "mcts")
        assert detail["solution"] == events[-1]["data"]["solution"]
        assert detail["problem"] == PROBLEM["problem"]
        assert detail["ended"] >= detail["created"]
        listed = (await one.client.get("/searches?limit=1")).json()
        assert [search["search_id"] for search in listed["searches"]] == [search_id]


async def test_events_rebuild_the_tree_that_the_service_shows(rig: StartRig) -> None:
    """A page that adds nodes and takes updates, and computes Q itself, sees the same tree."""
    async with rig() as one:
        one.policy.reply = votes
        search_id = await submit(one, budget={"rollouts": 24})
        events = await read(one, f"/searches/{search_id}/events")
        assert [event["event"] for event in events[:2]] == ["started", "trial"]
        assert [event["id"] for event in events] == [f"{n}-0" for n in range(1, len(events) + 1)]
        shown = {"root": {"parent": None}}
        standing: dict[str, dict[str, Any]] = {}
        for event in events[1:-1]:
            data = event["data"]
            for node in data["nodes"]:
                assert node["parent"] in shown
                shown[node["id"]] = node
            standing |= {update["id"]: update for update in data["updates"]}
        tree = (await one.client.get(f"/searches/{search_id}/tree")).json()
        assert tree["event"] == events[-2]["id"] or tree["event"] == events[-1]["id"]
        assert {node["id"] for node in tree["nodes"]} == set(shown)
        all_votes = standing["root"]["votes"]
        for node in tree["nodes"]:
            known = standing[node["id"]]
            assert node["visits"] == known["visits"]
            agreeing = sum(n * all_votes[answer] for answer, n in known["votes"].items())
            own = sum(known["votes"].values())
            q = (known["value"] - own + 2 * agreeing / sum(all_votes.values())) / known["visits"]
            assert node["q"] == pytest.approx(q)
        assert {node["id"] for node in tree["nodes"] if node["best"]} == set(
            events[-2]["data"]["best"]
        )


async def test_the_tree_is_the_fold_of_the_log(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        search_id = await submit(one, search={"candidates": 4, "trees": 2})
        await read(one, f"/searches/{search_id}/events")
        started, *told, _ = await one.events(search_id)
        assert isinstance(started, Started)
        trials = [event.expanded for event in told if isinstance(event, TrialTold)]
        forest = Forest.replay(started.config, trials)
        shown = (await one.client.get(f"/searches/{search_id}/tree")).json()["nodes"]
        expected = {
            (tree.index, node.id): (node.visits, tree.q(node), node.outcome.value)
            for tree in forest.trees
            for node in tree.nodes.values()
        }
        found = {
            (node["tree"], node["id"]): (node["visits"], node["q"], node["outcome"])
            for node in shown
        }
        assert found == expected


async def test_a_node_says_what_policy_sandbox_and_ppm_took_for_it(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        one.ppm.score = lambda steps: 0.5
        search_id = await submit(one)
        events = await read(one, f"/searches/{search_id}/events")
        brought = {
            node["id"]: node["seconds"] for event in events[1:-1] for node in event["data"]["nodes"]
        }
        shown = (await one.client.get(f"/searches/{search_id}/tree")).json()["nodes"]
        assert {node["id"]: node["seconds"] for node in shown} == {"root": None} | brought
        assert brought
        for seconds in brought.values():
            assert all(seconds[phase] > 0 for phase in ("policy", "sandbox", "ppm"))


async def test_a_stream_is_taken_up_after_any_event(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        search_id = await submit(one)
        whole = await read(one, f"/searches/{search_id}/events")
        end = await one.client.get(f"/searches/{search_id}/events?after={whole[-1]['id']}")
        assert (end.status_code, end.content) == (204, b"")
        for known in range(len(whole)):
            by_header = await read(
                one, f"/searches/{search_id}/events?after=0", Last_Event_ID=f"{known}-0"
            )
            by_query = await read(one, f"/searches/{search_id}/events?after={known}-0")
            assert by_header == by_query == whole[known:]
        for bad in ("x", "-1", "1-1", "1-0-0", "9" * 20):
            reply = await one.client.get(f"/searches/{search_id}/events?after={bad}")
            assert reply.status_code == 422
            assert reply.json()["errors"][0]["field"] == "after"


async def test_a_running_search_is_seen_live_and_cancelled(rig: StartRig) -> None:
    async with rig(heartbeat_seconds=0.05) as one:
        one.policy.reply = lambda request, index: (
            votes(request, index) if len(one.policy.requests) == 1 else None
        )
        search_id = await submit(one, search={"candidates": 4, "parallel": 1})
        seen: list[str] = []

        async def follow() -> None:
            path = f"/searches/{search_id}/events"
            async with one.client.stream("GET", path) as reply:
                async for line in reply.aiter_lines():
                    seen.append(line)  # noqa: PERF401 - read while it grows

        following = asyncio.create_task(follow())
        await until(lambda: ": heartbeat" in seen)
        running = (await one.client.get(f"/searches/{search_id}")).json()
        assert (running["status"], running["ended"], running["solution"]) == ("running", None, None)
        tree = (await one.client.get(f"/searches/{search_id}/tree")).json()
        assert tree["nodes"][0]["id"] == "root"
        assert len(tree["nodes"]) == running["usage"]["nodes"] + 1 == 9
        listed = await one.client.get("/searches?status=running&limit=1")
        assert listed.json()["searches"][0]["search_id"] == search_id
        assert (await one.client.delete(f"/searches/{search_id}")).status_code == 204
        await following
        events = parse("\n".join(seen))
        assert events[-1]["data"]["solution"]["stop_reason"] == "cancelled"
        ended = (await one.client.get(f"/searches/{search_id}")).json()
        assert (ended["status"], ended["solution"]["stop_reason"]) == ("cancelled", "cancelled")
        again = await one.client.delete(f"/searches/{search_id}")
        assert (again.status_code, again.json()["title"]) == (409, "Already ended")
        assert not one.sandbox.sessions


async def test_a_follower_who_leaves_ends_nothing(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: None
        search_id = await submit(one)
        async with one.client.stream("GET", f"/searches/{search_id}/events") as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data"):
                    break
        await until(lambda: not one.manager.store.tails.ids())
        assert (await one.client.get(f"/searches/{search_id}")).json()["status"] == "running"
        await one.manager.cancel(search_id)


async def test_what_there_is_not_is_not_found(rig: StartRig) -> None:
    async with rig() as one:
        for path in ("", "/tree", "/events"):
            reply = await one.client.get(f"/searches/{UNKNOWN}{path}")
            assert (reply.status_code, reply.json()["title"]) == (404, "Not found")
        assert (await one.client.delete(f"/searches/{UNKNOWN}")).status_code == 404


async def test_pages_hold_every_search_once(rig: StartRig) -> None:
    async with rig() as one:
        begun = [await submit(one, budget={"rollouts": 1}) for _ in range(5)]
        cursor, seen = "", []
        while True:
            page = (await one.client.get(f"/searches?limit=2{cursor}")).json()
            seen += [search["search_id"] for search in page["searches"]]
            if len(seen) >= 5 or page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert seen[:5] == begun[::-1]


async def test_an_idempotency_key_names_one_search(rig: StartRig) -> None:
    async with rig() as one:
        named = {"Idempotency-Key": "k" * 20 + str(id(one))}
        first = await one.client.post("/solve", json={**PROBLEM, "async": True}, headers=named)
        second = await one.client.post("/solve", json=PROBLEM, headers=named)
        assert second.json()["search_id"] == first.json()["search_id"]
        assert second.json()["answer"] == "2"
        streamed = await one.client.post("/solve", json={**PROBLEM, "stream": True}, headers=named)
        assert parse(streamed.text)[-1]["data"] == second.json()
        other = await one.client.post("/solve", json={"problem": "another"}, headers=named)
        assert other.status_code == 422
        assert other.json()["errors"][0]["field"] == "Idempotency-Key"
        assert len(one.policy.requests) <= 2


async def test_a_caller_with_an_idempotency_key_may_leave_and_come_back(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = lambda request, index: None
        named = {"Idempotency-Key": f"leave-{id(one)}"}
        body = {**PROBLEM, "budget": {"seconds": 1.0}}
        call = asyncio.create_task(one.client.post("/solve", json=body, headers=named))
        await until(lambda: one.policy.open_calls > 0)
        call.cancel()
        reply = await one.client.post("/solve", json=body, headers=named)
        assert reply.json()["stop_reason"] == "seconds"
        summaries = (await one.client.get("/searches?limit=1")).json()["searches"]
        assert summaries[0]["search_id"] == reply.json()["search_id"]
