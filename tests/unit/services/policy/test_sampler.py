"""Candidates as they finish: those that are finished together come together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from services.common import rpc
from services.policy import sampler
from services.policy.asks import Ask, Sampling
from services.policy.candidates import Candidate
from services.policy.prompts import Finish
from services.policy.sampler import Drawn, sample

REFUSED = rpc.StatusError(grpc.StatusCode.FAILED_PRECONDITION, "another version is served")


class Draws:
    """The model's part: each candidate is finished, or fails, when it is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.ends = [asyncio.get_running_loop().create_future() for _ in range(count)]
        monkeypatch.setattr(sampler, "draw", self._draw)
        monkeypatch.setattr(sampler, "tokenize", self._tokenize)
        asked = Ask("What?", (), count, Sampling(0.0, 1.0, 8, 0, 1))
        self.found = sample(self, "", asked)  # type: ignore[arg-type]  # all it needs

    async def use(self, version: str, work: Callable[[Any], Awaitable[Drawn]]) -> Drawn:
        """As Serving.use."""
        return await work(None)

    async def _tokenize(self, served: object, ask: Ask) -> list[int]:
        return [1]

    async def _draw(self, served: object, prompt: list[int], ask: Ask, index: int) -> Candidate:
        await self.ends[index]
        return Candidate([], index, Finish.STEP)

    async def next(self) -> list[int]:
        """Indices of those that come together next."""
        return [drawn.index for drawn in await anext(self.found)]


async def begun(draws: Draws) -> None:
    """Let all candidates begin: the first is handed over alone."""
    draws.ends[0].set_result(None)
    assert await draws.next() == [0]


async def test_what_is_finished_by_the_time_it_is_asked_for_comes_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = Draws(monkeypatch, 5)
    await begun(draws)
    for index in (3, 1):
        draws.ends[index].set_result(None)
    assert await draws.next() == [3, 1]
    for index in (2, 4):
        draws.ends[index].set_result(None)
    assert await draws.next() == [2, 4]
    with pytest.raises(StopAsyncIteration):
        await draws.next()


async def test_what_was_finished_before_a_failure_is_handed_over_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = Draws(monkeypatch, 5)
    await begun(draws)
    draws.ends[2].set_result(None)
    draws.ends[1].set_exception(REFUSED)
    draws.ends[3].set_result(None)
    assert await draws.next() == [2]
    with pytest.raises(rpc.StatusError, match="another version"):
        await draws.next()
    # The one that was under way has been given up.
    assert draws.ends[4].cancelled()
