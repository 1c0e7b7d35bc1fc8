"""A grader for a harvest."""

import asyncio
from typing import Self

from services.common.grading.grader import Grader


class LateGrader:
    """A grader that is started when it is first asked; a context manager.

    Most harvests never ask: a terminal-guided search grades its answers itself.
    """

    def __init__(self) -> None:
        self._grader = Grader()
        self._start: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._start is not None:
            await asyncio.gather(self._start, return_exceptions=True)
            await self._grader.close()

    async def correct(self, gold: str, answer: str) -> bool:
        """See Grader.correct. GraderUnavailable where it cannot be started."""
        if self._start is None:
            self._start = asyncio.create_task(self._grader.start())
        await asyncio.shield(self._start)
        return await self._grader.correct(gold, answer)
