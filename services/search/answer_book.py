"""The answers that a search has seen, grouped into classes of equal ones."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from services.common.grading import answers
from services.common.grading.grader import GraderUnavailable
from services.search.clients.dependencies import DependencyError


class Equality(Protocol):
    """Decides whether answers mean the same."""

    async def equal(self, a: str, b: str) -> bool:
        """Whether two of one kind do; symmetric."""

    async def correct(self, gold: str, answer: str) -> bool:
        """Whether an answer agrees with a reference answer."""


class AnswerBook:
    """Gives each answer the key of its class: the first answer of that class, as it was written.

    Most answers are settled by their normal form. Comparing is done one answer at a time, so that
    two new forms of one answer that arrive together do not found two classes; past `max_classes`,
    only the normal form is compared.
    """

    def __init__(
        self, equality: Equality, *, truth: str | None = None, max_classes: int = 64
    ) -> None:
        """`truth`: the known answer, if there is one."""
        self._equality = equality
        self._truth = truth
        self._verdicts: dict[str, bool] = {}
        self._max_classes = max_classes
        self._keys: dict[str, str] = {}
        self._representatives: list[str] = []
        self._lock = asyncio.Lock()

    def restore(self, keys: Iterable[str]) -> None:
        """Know the classes of a search that goes on, by their keys in the order of its log."""
        for key in keys:
            normal = answers.normalize(key)
            if normal not in self._keys:
                self._keys[normal] = key
                self._representatives.append(key)

    async def key(self, answer: str) -> str:
        """The key of the answer's class. DependencyError where the grader cannot say."""
        normal = answers.normalize(answer)
        if normal in self._keys:
            return self._keys[normal]
        async with self._lock:
            if normal not in self._keys:
                self._keys[normal] = await self._class_of(answer)
            return self._keys[normal]

    async def is_right(self, key: str) -> bool | None:
        """Whether a class agrees with the known answer; None where that is not known.

        DependencyError where the grader cannot say.
        """
        if self._truth is None:
            return None
        if key not in self._verdicts:
            try:
                self._verdicts[key] = await self._equality.correct(self._truth, key)
            except GraderUnavailable as error:
                raise DependencyError("grader", str(error)) from error
        return self._verdicts[key]

    async def _class_of(self, answer: str) -> str:
        for representative in self._representatives[: self._max_classes]:
            try:
                is_equal = await self._equality.equal(representative, answer)
            except GraderUnavailable as error:
                raise DependencyError("grader", str(error)) from error
            if is_equal:
                return representative
        self._representatives.append(answer)
        return answer
