"""API keys over REST and gRPC: who is let in, what they see, how much they may ask."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc
from services.search.access.key_store import KeyStore
from services.search.access.keys import digest
from services.search.rpc_server import SERVICE, SearchServicer
from tests.integration.search.conftest import Rig, StartRig
from tests.support.scripted import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN = "an-admin-key-of-the-settings-0123456789"
PROBLEM = {"problem": "What is 1 + 1?"}
UNKNOWN = "0" * 27


@contextlib.asynccontextmanager
async def guarded(rig: StartRig, **changes: object) -> AsyncIterator[Rig]:
    """A rig that asks for keys, its client an admin's."""
    async with rig(auth="keys", admin_key=ADMIN, **changes) as one:
        one.client.headers["Authorization"] = f"Bearer {ADMIN}"
        yield one


async def make_key(one: Rig, **fields: object) -> dict[str, str]:
    """A new key: its headers."""
    reply = await one.client.post("/keys", json={"name": "test", **fields})
    assert reply.status_code == 201, reply.text
    assert reply.headers["cache-control"] == "no-store"
    return {"Authorization": f"Bearer {reply.json()['key']}"}


async def test_without_a_valid_key_nothing_is_told_but_health(rig: StartRig) -> None:
    async with guarded(rig) as one:
        wrong = f"rstar_{'0' * 16}_{'x' * 43}"
        for headers in (
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": f"Basic {ADMIN}"},
            {"Authorization": f"Bearer {wrong}"},
            {"Authorization": b"Bearer \xff\xfe"},
            {"Authorization": "", "X-API-Key": ADMIN[:-1]},
        ):
            for call in (
                one.client.post("/solve", content=b"{", headers=headers),
                one.client.get(f"/searches/{UNKNOWN}", headers=headers),
                one.client.get("/keys", headers=headers),
                one.client.get("/nowhere", headers=headers),
            ):
                reply = await call
                assert reply.status_code == 401, headers
                assert reply.headers["www-authenticate"].startswith("Bearer")
                assert reply.json()["title"] == "Unauthenticated"
        assert one.policy.requests == []
        for path in ("/health", "/ready", "/metrics", "/openapi.json"):
            assert (await one.client.get(path, headers={"Authorization": ""})).status_code == 200


async def test_a_key_is_shown_once_and_kept_as_a_digest(rig: StartRig) -> None:
    async with guarded(rig) as one:
        made = (await one.client.post("/keys", json={"name": "one"})).json()
        stored = await one.manager.connection.command("HGETALL", KeyStore.record(made["id"]))
        assert stored[b"digest"].decode() == digest(made["key"])
        assert made["key"].encode() not in b"".join(stored.values())
        shown = (await one.client.get("/keys")).json()["keys"]
        assert {key["id"] for key in shown} >= {made["id"]}
        assert all("key" not in key for key in shown)
        assert (await one.client.get(f"/keys/{made['id']}")).json() == {
            name: value for name, value in made.items() if name != "key"
        }


async def test_a_key_works_until_it_is_revoked_or_expires(rig: StartRig) -> None:
    async with guarded(rig) as one:
        made = (await one.client.post("/keys", json={"name": "one"})).json()
        for headers in (
            {"Authorization": f"Bearer {made['key']}"},
            {"Authorization": "", "X-API-Key": made["key"]},
        ):
            assert (await one.client.post("/solve", json=PROBLEM, headers=headers)).is_success
        used = (await one.client.get(f"/keys/{made['id']}")).json()["last_used"]
        assert abs(used - time.time()) < 120
        assert (await one.client.delete(f"/keys/{made['id']}")).status_code == 204
        assert (await one.client.post("/solve", json=PROBLEM, headers=headers)).status_code == 401
        assert (await one.client.delete(f"/keys/{made['id']}")).status_code == 404
        brief = await make_key(one, expires_in_seconds=0.001)
        await asyncio.sleep(0.002)
        reply = await one.client.get("/searches", headers=brief)
        assert (reply.status_code, reply.json()["detail"]) == (401, "this API key has expired")


async def test_scopes_are_kept_apart(rig: StartRig) -> None:
    async with guarded(rig) as one:
        solver, admin = await make_key(one), await make_key(one, scopes=["admin"])
        for call in (
            one.client.get("/keys", headers=solver),
            one.client.post("/keys", json={"name": "x"}, headers=solver),
            one.client.delete(f"/keys/{'0' * 16}", headers=solver),
            one.client.post("/solve", json=PROBLEM, headers=admin),
        ):
            reply = await call
            assert (reply.status_code, reply.json()["title"]) == (403, "Forbidden")
            assert "insufficient_scope" in reply.headers["www-authenticate"]


async def test_a_key_sees_its_own_searches_alone_and_an_admin_all(rig: StartRig) -> None:
    async with guarded(rig) as one:
        mine, yours = await make_key(one), await make_key(one)
        search_id = (await one.client.post("/solve", json=PROBLEM, headers=mine)).json()[
            "search_id"
        ]
        for path in ("", "/tree", "/events"):
            url = f"/searches/{search_id}{path}"
            assert (await one.client.get(url, headers=mine)).status_code == 200
            assert (await one.client.get(url, headers=yours)).status_code == 404
            assert (await one.client.get(url)).status_code == 200
        hidden = await one.client.delete(f"/searches/{search_id}", headers=yours)
        assert hidden.status_code == 404
        assert (await one.client.get("/searches", headers=yours)).json()["searches"] == []
        listed = (await one.client.get("/searches", headers=mine)).json()["searches"]
        assert [search["search_id"] for search in listed] == [search_id]


async def test_an_idempotency_key_is_a_key_s_own(rig: StartRig) -> None:
    async with guarded(rig) as one:
        ids = set()
        for key in (await make_key(one), await make_key(one)):
            headers = key | {"Idempotency-Key": "same"}
            reply = await one.client.post("/solve", json=PROBLEM, headers=headers)
            ids.add(reply.json()["search_id"])
        assert len(ids) == 2


async def test_the_rate_is_kept_and_told(rig: StartRig) -> None:
    async with guarded(rig) as one:
        key = await make_key(one, requests_per_minute=3, searches=2)
        calls = (one.client.get("/searches", headers=key) for _ in range(5))
        replies = await asyncio.gather(*calls)
        assert sorted(reply.status_code for reply in replies) == [200, 200, 200, 429, 429]
        policy = '"requests";q=3;w=60, "searches";q=2;qu="concurrent-requests"'
        left = [reply.headers["ratelimit"] for reply in replies if reply.is_success]
        assert min(left).startswith('"requests";r=0;t=')
        assert all(r.headers["ratelimit-policy"] == policy for r in replies if r.is_success)
        refused = next(reply for reply in replies if reply.status_code == 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert refused.json()["violated-policies"] == ["requests"]
        assert refused.json()["type"].endswith("#quota-exceeded")
        # Others are not held to it.
        assert (await one.client.get("/searches")).status_code == 200


async def test_the_bucket_fills_again_with_redis_time(rig: StartRig) -> None:
    async with guarded(rig) as one:
        key = await make_key(one, requests_per_minute=600)
        key_id = key["Authorization"].split("_")[1]
        redis = one.manager.connection
        seconds, micros = await redis.command("TIME")
        now = int(seconds) * 1000 + int(micros) // 1000
        # Empty half a second ago: five of ten a second are there again.
        await redis.command("HSET", KeyStore.bucket(key_id), "tokens", 0, "at", now - 500)
        reply = await one.client.get("/searches", headers=key)
        assert reply.status_code == 200
        left = int(reply.headers["ratelimit"].split(";")[1].removeprefix("r="))
        assert 4 <= left < 600
        assert 0 < await redis.command("PTTL", KeyStore.bucket(key_id)) <= 120_000


async def test_searches_at_once_are_limited_until_one_ends(rig: StartRig) -> None:
    async with guarded(rig) as one:
        one.policy.reply = lambda request, index: None
        key = await make_key(one, searches=2)
        body = {**PROBLEM, "async": True}
        begun = [await one.client.post("/solve", json=body, headers=key) for _ in range(2)]
        for _ in range(2):
            refused = await one.client.post("/solve", json=PROBLEM, headers=key)
            assert refused.status_code == 429
            assert refused.json()["violated-policies"] == ["searches"]
            assert int(refused.headers["retry-after"]) >= 1
        ended = begun[0].json()["search_id"]
        assert (await one.client.delete(f"/searches/{ended}", headers=key)).status_code == 204
        third = await one.client.post("/solve", json=body, headers=key)
        assert third.status_code == 202
        for reply in (begun[1], third):
            await one.manager.cancel(reply.json()["search_id"])


async def test_a_repeated_request_needs_no_second_place(rig: StartRig) -> None:
    async with guarded(rig) as one:
        one.policy.reply = lambda request, index: None
        key = await make_key(one, searches=1) | {"Idempotency-Key": f"again-{id(one)}"}
        body = {**PROBLEM, "async": True}
        first = await one.client.post("/solve", json=body, headers=key)
        again = await one.client.post("/solve", json=body, headers=key)
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json() == first.json()
        await one.manager.cancel(first.json()["search_id"])


async def test_an_admin_cancels_what_others_began(rig: StartRig) -> None:
    async with guarded(rig) as one:
        one.policy.reply = lambda request, index: None
        solver, admin = await make_key(one), await make_key(one, scopes=["admin"])
        begun = await one.client.post("/solve", json={**PROBLEM, "async": True}, headers=solver)
        path = begun.headers["location"]
        assert (await one.client.delete(path, headers=admin)).status_code == 204


async def test_a_search_that_could_not_begin_takes_no_place(rig: StartRig) -> None:
    async with guarded(rig, max_searches=1) as one:
        one.policy.reply = lambda request, index: None
        key, other = await make_key(one, searches=1), await make_key(one)
        body = {**PROBLEM, "async": True}
        holder = await one.client.post("/solve", json=body, headers=other)
        full = await one.client.post("/solve", json=body, headers=key)
        assert (full.status_code, full.json()["title"]) == (429, "Too many searches")
        await one.manager.cancel(holder.json()["search_id"])
        begun = await one.client.post("/solve", json=body, headers=key)
        assert begun.status_code == 202
        await one.manager.cancel(begun.json()["search_id"])


async def test_memory_turns_searches_away(rig: StartRig) -> None:
    async with rig(max_memory_bytes=1024) as one:
        reply = await one.client.post("/solve", json=PROBLEM)
        assert (reply.status_code, reply.json()["title"]) == (429, "Short of memory")
        assert int(reply.headers["retry-after"]) >= 1
        assert one.policy.requests == []


async def test_a_key_s_place_is_held_only_so_long(rig: StartRig) -> None:
    """Should nobody ever say that a search has ended."""
    async with guarded(rig) as one:
        store = one.front.guard.keys
        assert not await store.take_slot("k", "begin-1", limit=1, seconds=0.05)
        assert await store.take_slot("k", "begin-2", limit=1, seconds=1) == ["begin-1"]
        await store.rename_slot("k", "begin-1", "search")
        assert await store.take_slot("k", "begin-2", limit=1, seconds=1) == ["search"]
        await asyncio.sleep(0.06)
        assert not await store.take_slot("k", "begin-2", limit=1, seconds=1)
        await store.free_slots("k", ["begin-2"])


async def test_grpc_asks_for_the_same_keys(rig: StartRig) -> None:
    add = search_pb2_grpc.add_SearchServiceServicer_to_server
    async with (
        guarded(rig) as one,
        serving(add, SearchServicer(one.front), SERVICE) as target,
        rpc.channel(target) as channel,
    ):
        stub = search_pb2_grpc.SearchServiceStub(channel)
        key = (await make_key(one, requests_per_minute=2))["Authorization"]
        for metadata in ((), (("authorization", "Bearer x"),), (("x-api-key", "~"),)):
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await stub.List(pb.ListRequest(), metadata=metadata)
            assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED
        for metadata in ((("authorization", key),), (("x-api-key", key.split()[1]),)):
            assert not (await stub.List(pb.ListRequest(), metadata=metadata)).searches
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.List(pb.ListRequest(), metadata=metadata)
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailing = dict(failure.value.trailing_metadata() or ())
        assert 1 <= int(trailing["retry-after"]) <= 30
        watcher = (await make_key(one, scopes=["admin"]))["Authorization"]
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.Submit(
                pb.SubmitRequest(request=pb.SolveRequest(problem="x")),
                metadata=(("authorization", watcher),),
            )
        assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_id_without_a_key_hides_no_other(rig: StartRig) -> None:
    """As when a replica dies while it makes or revokes one."""
    async with guarded(rig) as one:
        await make_key(one)
        redis = one.manager.connection
        await redis.command("SADD", "rstar:keys", "f" * 16)
        assert (await one.client.get("/keys")).status_code == 200


async def test_redis_away_is_503_not_open(rig: StartRig) -> None:
    async with guarded(
        rig, redis_url="unix:///nonexistent/redis.sock", dependency_timeout_seconds=0.5
    ) as one:
        headers = {"Authorization": f"Bearer rstar_{'0' * 16}_{'x' * 43}"}
        reply = await one.client.get("/searches", headers=headers)
        assert (reply.status_code, reply.json()["dependency"]) == (503, "redis")


def test_every_script_s_keys_share_one_slot() -> None:
    names = (KeyStore.record("k"), KeyStore.bucket("k"), KeyStore.slots("k"))
    assert {name[name.index("{") : name.index("}") + 1] for name in names} == {"{k}"}
