"""Client of the PPM service."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import grpc

from services.common import tracing
from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.pb.ppm.v1 import ppm_pb2_grpc
from services.common.steps import Step
from services.search.clients.calls import Caller, RejectedError
from services.search.clients.dependencies import DependencyError
from services.search.clients.replicas import Endpoint, Limits, Replicas
from services.search.clients.score_calls import ScoreCalls

ASSUMED = Limits(capacity=64, places=256)
"""Partial solutions, until the PPM has said what it takes."""

# Calls of one search at once: one is computed while the next is on its way. What is finished in the
# meantime goes together in the one after.
_CALLS = 2
# The steps of one expansion finish within moments of each other. While more are coming, the first
# of them waits for others so long, unless so many are there, of all searches: a call costs what
# many scores cost.
_GATHER_SECONDS = 0.05
_ENOUGH = 16


async def learn(channel: grpc.aio.Channel, timeout_seconds: float) -> Limits:
    """What a PPM can carry: its largest batch, and as many again on their way."""
    info = await ppm_pb2_grpc.PpmServiceStub(channel).Info(
        pb.InfoRequest(), timeout=timeout_seconds
    )
    batch = max(1, min(info.max_batch, info.max_in_flight))
    return Limits(batch, max(1, min(info.max_in_flight, 2 * batch)))


class _Gathering:
    """Scorers with something to ask, which begin their calls in the same moment."""

    def __init__(self) -> None:
        self._scorers: dict[Scorer, None] = {}
        self._wishes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, scorer: "Scorer") -> bool:
        return scorer in self._scorers

    def add(self, scorer: "Scorer", wishes: int, *, is_last: bool) -> None:
        """Note that a scorer has so many wishes more; `is_last` where no others are coming."""
        self._scorers[scorer] = None
        self._wishes += wishes
        if self._wishes >= _ENOUGH or is_last:
            self._begin()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        scorers, self._scorers, self._wishes = self._scorers, {}, 0
        for scorer in scorers:
            scorer.begin_call()


class PpmClient:
    """Asks about the PPM, and makes the scorers of searches."""

    def __init__(self, replicas: Replicas, *, patience_seconds: float) -> None:
        self._replicas = replicas
        self._gathering = _Gathering()
        self._caller = Caller(replicas, patience_seconds=patience_seconds)

    async def version(self, timeout_seconds: float) -> str | None:
        """The version that is served; None while no PPM is published.

        DependencyError, RejectedError.
        """
        info = await self.info(timeout_seconds)
        return info.model_version if info.ready else None

    async def info(self, timeout_seconds: float) -> pb.InfoResponse:
        """What it says of itself. DependencyError, RejectedError."""

        async def attempt(endpoint: Endpoint, left: float) -> pb.InfoResponse:
            stub = endpoint.stub(ppm_pb2_grpc.PpmServiceStub)
            return await stub.Info(pb.InfoRequest(), timeout=left)

        return await self._caller.call(attempt, key="", timeout_seconds=timeout_seconds)

    def scorer(
        self,
        search_id: str,
        problem: str,
        version: str = "",
        *,
        coming: Callable[[], bool] = lambda: True,
    ) -> "Scorer":
        """The scorer of one search, by one version or, for the empty name, whichever is served.

        `coming` tells whether more to score may be there within moments.
        """
        return Scorer(
            *(self._replicas, self._caller, self._gathering, search_id, problem, version, coming)
        )


class Score(NamedTuple):
    """A score, -1 to 1, and the version of the PPM that gave it."""

    value: float
    version: str


@dataclass(eq=False, slots=True)
class _Wish:
    solution: pb.PartialSolution
    timeout_seconds: float
    traceparent: str
    score: "asyncio.Future[Score]"


class Scorer:
    """Scores the partial solutions of one search, many in a call.

    What is finished within moments is gathered for one call while more is coming, and while _CALLS
    calls are under way, for the next. What several searches ask in the same moment goes together.
    """

    def __init__(
        self,
        replicas: Replicas,
        caller: Caller,
        gathering: _Gathering,
        search_id: str,
        problem: str,
        version: str,
        coming: Callable[[], bool],
    ) -> None:
        self._version = version
        self._coming = coming
        self._replicas = replicas
        self._caller = caller
        self._gathering = gathering
        self._search_id = search_id
        self._problem = problem
        self._wishes: deque[_Wish] = deque()
        self._calls: dict[asyncio.Task[None], list[_Wish]] = {}

    async def score(
        self, solutions: Sequence[Sequence[Step]], *, timeout_seconds: float
    ) -> list[Score]:
        """Scores of partial solutions, in their order.

        DependencyError; RejectedError where one of them is refused. Leaving the call takes them
        out of the queue, and ends a call that nobody waits for any more.
        """
        loop, above = asyncio.get_running_loop(), tracing.traceparent()
        wishes = [
            _Wish(_solution(steps), timeout_seconds, above, loop.create_future())
            for steps in solutions
        ]
        self._wishes.extend(wishes)
        self._gathering.add(self, len(wishes), is_last=not self._coming())
        try:
            return [await wish.score for wish in wishes]
        finally:
            for wish in wishes:
                wish.score.cancel()
            self._end_idle_calls()

    def begin_call(self) -> None:
        """Ask for what waits, unless as many calls as may be are under way."""
        if self._wishes and len(self._calls) < _CALLS:
            batch: list[_Wish] = []
            # What is added before it begins goes along. It is begun by whoever asks last, of any
            # search, whose trace it is not in.
            task = asyncio.create_task(self._score_next(batch), context=tracing.untraced())
            self._calls[task] = batch
            task.add_done_callback(self._call_ended)

    def _call_ended(self, task: asyncio.Task[None]) -> None:
        del self._calls[task]
        if self not in self._gathering:
            self.begin_call()

    def _end_idle_calls(self) -> None:
        for task, batch in self._calls.items():
            if batch and all(wish.score.done() for wish in batch):
                task.cancel()

    async def _score_next(self, batch: list[_Wish]) -> None:
        """Score what waits, as much as there are places for."""
        gate = self._replicas.gate
        places = 0
        try:
            places = await gate.enter(self._search_id, max(1, len(self._wishes)))
            while self._wishes and len(batch) < places:
                wish = self._wishes.popleft()
                if not wish.score.done():
                    batch.append(wish)
            if batch:
                await self._score(batch)
        except (DependencyError, RejectedError) as error:
            for wish in batch or self._wishes:
                if not wish.score.done():
                    wish.score.set_exception(error)
        finally:
            gate.leave(self._search_id, places)

    async def _score(self, batch: Sequence[_Wish]) -> None:
        try:
            scores = await self._scores(batch)
        except RejectedError as error:
            if len(batch) == 1:
                if not batch[0].score.done():
                    batch[0].score.set_exception(error)
                return
            # One of them is at fault; alone, each gets its own verdict.
            for wish in batch:
                await self._score([wish])
            return
        for wish, score in zip(batch, scores, strict=True):
            if not wish.score.done():
                wish.score.set_result(score)

    async def _scores(self, batch: Sequence[_Wish]) -> list[Score]:
        request = pb.ScoreRequest(
            search_id=self._search_id,
            problem=self._problem,
            solutions=[wish.solution for wish in batch],
            model_version=self._version,
            # Trials whose steps are scored together share the span of the first.
            traceparent=batch[0].traceparent,
        )

        async def attempt(endpoint: Endpoint, left: float) -> pb.ScoreResponse:
            calls = endpoint.stub(ScoreCalls)
            with endpoint.carrying(len(batch)):
                return await calls.score(request, timeout_seconds=left)

        reply = await self._caller.call(
            attempt,
            key=self._search_id,
            timeout_seconds=max(wish.timeout_seconds for wish in batch),
            version=self._version,
        )
        if len(reply.scores) != len(batch):
            detail = f"{len(reply.scores)} scores for {len(batch)} partial solutions"
            raise DependencyError("ppm", detail)
        return [Score(score.value, reply.model_version) for score in reply.scores]


def _solution(steps: Sequence[Step]) -> pb.PartialSolution:
    return pb.PartialSolution(
        steps=[pb.Step(text=s.text, ends_code=s.ends_code, output=s.output) for s in steps]
    )
