"""Whether the answers of a tree are right."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, Self

from services.common.grading.grader import Grader
from trainer.harvest.searched import FoundTree
from trainer.trees import TreeNode


class Judge(Protocol):
    """Says whether answers are right."""

    async def correct(self, gold: str, answer: str) -> bool:
        """Whether an answer equals the reference answer."""
        ...


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


async def graded(trees: Sequence[FoundTree], gold: str, grader: Judge) -> list[FoundTree]:
    """The trees, each terminal node with its verdict; the search's own where it gave one."""
    verdicts: dict[str, bool] = {}

    async def judged(node: TreeNode) -> TreeNode:
        if node.outcome != "terminal" or node.correct is not None:
            return node
        answer = node.answer or ""
        if answer not in verdicts:
            verdicts[answer] = await grader.correct(gold, answer)
        return node.model_copy(update={"correct": verdicts[answer]})

    return [replace(tree, nodes=[await judged(node) for node in tree.nodes]) for tree in trees]
