"""The PPM client: many partial solutions in a call, each caller gets its own scores."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest

from services.common import rpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc
from services.common.steps import Step
from services.search.clients import ppm
from services.search.clients.calls import RejectedError
from services.search.clients.ppm import PpmClient, Scorer
from services.search.clients.replicas import Replicas
from tests.support.scripted import ScriptedPpm, serving


class CountingPpm(ScriptedPpm):
    """Scores a solution by the number in its last step; refuses `bad`; hangs on `hang`."""

    def __init__(self) -> None:
        super().__init__(lambda steps: int(steps[-1]) / 1000)
        self.batches: list[int] = []
        self.searches: list[list[str]] = []
        self.open_calls = 0
        self.takes_more = True

    async def Score(  # noqa: N802 - the name in the contract
        self, request: ppm_pb2.ScoreRequest, context: rpc.Context
    ) -> ppm_pb2.ScoreResponse:
        """Score each partial solution."""
        solutions = [one for part in (request, *request.more) for one in part.solutions]
        self.batches.append(len(solutions))
        self.searches.append([part.search_id for part in (request, *request.more)])
        texts = [one.steps[-1].text for one in solutions]
        self.open_calls += 1
        try:
            if "hang" in texts:
                await asyncio.Event().wait()
            if "bad" in texts:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "solutions: too long")
            reply = await super().Score(request, context)
            reply.takes_more = self.takes_more
            return reply
        finally:
            self.open_calls -= 1


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[CountingPpm, Replicas, Scorer]]:
    """A scorer over a scripted PPM."""
    scripted = CountingPpm()
    async with serving(ppm_pb2_grpc.add_PpmServiceServicer_to_server, scripted) as target:
        replicas = Replicas("ppm", target, ppm.ASSUMED, ppm.learn, check_seconds=10)
        await replicas.check()
        try:
            yield scripted, replicas, PpmClient(replicas, patience_seconds=5).scorer("s", "What?")
        finally:
            await replicas.close()


async def score(scorer: Scorer, *texts: str) -> list[float]:
    """Scores of solutions of one step."""
    scores = await scorer.score([[Step(text)] for text in texts], timeout_seconds=20)
    return [score.value for score in scores]


async def test_what_is_asked_together_goes_in_few_calls_and_comes_back_in_order() -> None:
    async with connected() as (scripted, replicas, scorer):
        calls = [score(scorer, str(i), str(i + 500)) for i in range(100)]
        assert await asyncio.gather(*calls) == [[i / 1000, (i + 500) / 1000] for i in range(100)]
        assert sum(scripted.batches) == 200
        assert len(scripted.batches) <= 3
        assert replicas.gate.share.in_use == 0


async def test_of_a_batch_only_the_one_at_fault_is_refused() -> None:
    async with connected() as (_, replicas, scorer):
        calls = [score(scorer, text) for text in ("1", "bad", "2")]
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
        assert (first, third) == ([0.001], [0.002])
        assert isinstance(second, RejectedError)
        assert replicas.gate.share.in_use == 0


async def test_a_call_that_nobody_waits_for_is_ended_and_the_next_ones_are_served() -> None:
    async with connected() as (scripted, replicas, scorer):
        hung = [asyncio.create_task(score(scorer, "hang")) for _ in range(4)]
        async with asyncio.timeout(10):
            while not scripted.open_calls:
                await asyncio.sleep(0.001)
        for task in hung:
            task.cancel()
        await asyncio.gather(*hung, return_exceptions=True)
        assert await score(scorer, "7") == [0.007]
        async with asyncio.timeout(10):
            while scripted.open_calls or replicas.gate.share.in_use:
                await asyncio.sleep(0.001)


async def test_a_ppm_that_fails_fails_all_who_wait() -> None:
    async with connected() as (_, replicas, scorer):
        calls = [score(scorer, text) for text in ("x", "y")]
        with pytest.raises(Exception, match="ppm: internal error"):
            await asyncio.gather(*calls)
        assert replicas.gate.share.in_use == 0


async def several(replicas: Replicas, *names: str) -> list[Scorer]:
    """Scorers of several searches, after a first call that tells what the replica takes."""
    client = PpmClient(replicas, patience_seconds=5)
    scorers = [client.scorer(name, f"What of {name}?") for name in names]
    assert await score(scorers[0], "1") == [0.001]
    return scorers


async def test_what_several_searches_ask_in_the_same_moment_goes_in_one_call() -> None:
    async with connected() as (scripted, replicas, _):
        scorers = await several(replicas, *"abcd")
        asked = [score(scorer, str(i), str(i + 10)) for i, scorer in enumerate(scorers)]
        assert await asyncio.gather(*asked) == [[i / 1000, (i + 10) / 1000] for i in range(4)]
        assert scripted.searches[1:] == [["a", "b", "c", "d"]]
        assert replicas.gate.share.in_use == 0


async def test_a_search_at_fault_is_refused_and_those_with_it_are_not() -> None:
    async with connected() as (_, replicas, _scorer):
        scorers = await several(replicas, *"abc")
        calls = [score(one, text) for one, text in zip(scorers, ("1", "bad", "2"), strict=True)]
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
        assert (first, third) == ([0.001], [0.002])
        assert isinstance(second, RejectedError)
        assert replicas.gate.share.in_use == 0


async def test_a_shared_call_goes_on_for_as_long_as_anybody_waits_for_it() -> None:
    async with connected() as (scripted, replicas, _):
        scorers = await several(replicas, *"ab")
        calls = [asyncio.create_task(score(scorer, "hang")) for scorer in scorers]
        async with asyncio.timeout(10):
            while not scripted.open_calls:
                await asyncio.sleep(0.001)
        assert scripted.searches[1:] == [["a", "b"]]
        calls[0].cancel()
        await asyncio.wait(calls[:1])
        # The other one's call is there still, and so are its places.
        assert await score(scorers[0], "7") == [0.007]
        assert (scripted.open_calls, replicas.gate.share.in_use) == (1, 1)
        calls[1].cancel()
        async with asyncio.timeout(10):
            while scripted.open_calls or replicas.gate.share.in_use:
                await asyncio.sleep(0.001)


async def test_versions_do_not_mix_in_a_call() -> None:
    async with connected() as (scripted, replicas, _):
        await several(replicas, "a")
        client = PpmClient(replicas, patience_seconds=5)
        scorers = [client.scorer(name, "What?", version) for name, version in ("bx", "cy", "dx")]
        calls = [score(scorer, "1") for scorer in scorers]
        assert await asyncio.gather(*calls) == [[0.001]] * 3
        assert sorted(scripted.searches[1:]) == [["b", "d"], ["c"]]


async def test_a_replica_that_does_not_read_more_gets_a_call_a_search() -> None:
    async with connected() as (scripted, replicas, _):
        scripted.takes_more = False
        scorers = await several(replicas, *"abc")
        assert await asyncio.gather(*(score(one, "4") for one in scorers)) == [[0.004]] * 3
        assert sorted(scripted.searches[1:]) == [["a"], ["b"], ["c"]]
