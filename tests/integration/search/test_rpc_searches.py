"""Searches by their ids over gRPC, and whatever bytes come in."""

import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc
from services.search.rpc_server import SERVICE, SearchServicer
from tests.integration.search.conftest import Rig, StartRig, until
from tests.support.scripted import serving, votes

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN = "0" * 27
METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["SearchService"].methods]
# What a caller may be told of bytes that are no request, or of one that cannot be met.
CLEAN = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
}


@contextlib.asynccontextmanager
async def channel(one: Rig) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the rig's searches."""
    add = search_pb2_grpc.add_SearchServiceServicer_to_server
    async with (
        serving(add, SearchServicer(one.front), SERVICE) as target,
        rpc.channel(target) as opened,
    ):
        yield opened


def request(**fields: object) -> pb.SolveRequest:
    """A small search."""
    given = {"problem": "What is 1 + 1?", "search": pb.SearchOptions(candidates=4, seed=7)}
    return pb.SolveRequest(**(given | fields))  # type: ignore[arg-type]  # fields by name


async def test_a_search_is_submitted_watched_got_and_listed(rig: StartRig) -> None:
    async with rig() as one, channel(one) as opened:
        one.policy.reply = votes
        stub = search_pb2_grpc.SearchServiceStub(opened)
        begun = await stub.Submit(pb.SubmitRequest(request=request()))
        assert begun.is_new
        entries = [e async for e in stub.Watch(pb.WatchRequest(search_id=begun.search_id))]
        kinds = [entry.WhichOneof("event") for entry in entries]
        assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("started", "finished", {"trial"})
        assert [entry.id for entry in entries] == [f"{n}-0" for n in range(1, len(entries) + 1)]
        rest = [
            entry
            async for entry in stub.Watch(
                pb.WatchRequest(search_id=begun.search_id, after=entries[1].id)
            )
        ]
        assert rest == entries[2:]
        got = await stub.Get(pb.GetRequest(search_id=begun.search_id))
        assert got.solution == entries[-1].finished
        assert (got.summary.status, got.summary.answer) == (pb.SEARCH_STATUS_FINISHED, "2")
        shown = (await one.client.get(f"/searches/{begun.search_id}/tree")).json()["nodes"]
        told = [node for entry in entries[1:-1] for node in entry.trial.nodes]
        assert {node.id for node in told} == {node["id"] for node in shown} - {"root"}
        listed = await stub.List(pb.ListRequest(limit=1, status=pb.SEARCH_STATUS_FINISHED))
        assert [search.search_id for search in listed.searches] == [begun.search_id]
        assert listed.next_cursor == begun.search_id


async def test_options_of_every_kind_arrive(rig: StartRig) -> None:
    async with rig() as one, channel(one) as opened:
        stub = search_pb2_grpc.SearchServiceStub(opened)
        asked = request(
            budget=pb.Budget(ladder=[1, 2]),
            search=pb.SearchOptions(method=pb.METHOD_MAJORITY, trees=2, confidence=0.9),
            ground_truth="2",
        )
        begun = await stub.Submit(pb.SubmitRequest(request=asked))
        [_ async for _ in stub.Watch(pb.WatchRequest(search_id=begun.search_id))]
        logged = (await one.events(begun.search_id))[0].request  # type: ignore[union-attr]  # the first event
        assert (logged.budget.ladder, logged.ground_truth) == ([1, 2], "2")
        options = logged.search
        assert (options.method, options.trees, options.confidence) == ("majority", 2, 0.9)
        got = await stub.Get(pb.GetRequest(search_id=begun.search_id))
        assert got.solution.stop_reason == pb.STOP_REASON_SOLVED


async def test_a_search_is_cancelled_once(rig: StartRig) -> None:
    async with rig() as one, channel(one) as opened:
        one.policy.reply = lambda request, index: None
        stub = search_pb2_grpc.SearchServiceStub(opened)
        begun = await stub.Submit(pb.SubmitRequest(request=request()))
        await until(lambda: one.policy.open_calls > 0)
        wish = pb.CancelRequest(search_id=begun.search_id)
        assert (await stub.Cancel(wish)).was_running
        assert not (await stub.Cancel(wish)).was_running
        got = await stub.Get(pb.GetRequest(search_id=begun.search_id))
        assert got.summary.status == pb.SEARCH_STATUS_CANCELLED
        assert got.summary.stop_reason == pb.STOP_REASON_CANCELLED


async def test_an_idempotency_key_names_one_search(rig: StartRig) -> None:
    async with rig() as one, channel(one) as opened:
        stub = search_pb2_grpc.SearchServiceStub(opened)
        key = f"rpc-{id(one)}"
        first = await stub.Submit(pb.SubmitRequest(request=request(idempotency_key=key)))
        again = await stub.Submit(pb.SubmitRequest(request=request(idempotency_key=key)))
        assert (again.search_id, again.is_new) == (first.search_id, False)
        other = request(idempotency_key=key, problem="another")
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.Submit(pb.SubmitRequest(request=other))
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (failure.value.details() or "").startswith("idempotency_key: ")


async def test_what_there_is_not_is_not_found(rig: StartRig) -> None:
    async with rig() as one, channel(one) as opened:
        stub = search_pb2_grpc.SearchServiceStub(opened)
        calls = (
            stub.Get(pb.GetRequest(search_id=UNKNOWN)),
            stub.Cancel(pb.CancelRequest(search_id="")),
            stub.Watch(pb.WatchRequest(search_id="}{\r\n")).read(),
        )
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call
            assert failure.value.code() is grpc.StatusCode.NOT_FOUND


async def test_bytes_of_any_kind_get_a_clean_status(rig: StartRig) -> None:
    async with rig() as one, channel(one) as opened:
        # What is no message at all, what is one by chance, and messages of odd content.
        messages = st.one_of(
            st.binary(max_size=64),
            st.builds(
                lambda problem, rollouts, seconds, method, key: pb.SubmitRequest(
                    request=pb.SolveRequest(
                        problem=problem,
                        budget=pb.Budget(rollouts=rollouts, seconds=seconds),
                        search=pb.SearchOptions(method=method),
                        idempotency_key=key,
                    )
                ).SerializeToString(),
                st.text(max_size=20),
                st.integers(0, 2**32 - 1),
                st.floats(),
                st.integers(-(2**31), 2**31 - 1),
                st.text(max_size=300),
            ),
            st.builds(
                lambda a, b: pb.WatchRequest(search_id=a, after=b).SerializeToString(),
                st.text(max_size=40),
                st.text(max_size=25),
            ),
        )

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(method=st.sampled_from(METHODS), message=messages)
        def collect(method: str, message: bytes) -> None:
            cases.append((method, message))

        cases: list[tuple[str, bytes]] = []
        collect()
        for method, message in cases:
            call = opened.unary_stream(f"/{SERVICE}/{method}")(message, timeout=20)
            with contextlib.suppress(grpc.aio.AioRpcError):
                [_ async for _ in call]
            assert await call.code() in CLEAN, (method, message, await call.details())
        assert (await one.client.get("/ready")).status_code == 200
