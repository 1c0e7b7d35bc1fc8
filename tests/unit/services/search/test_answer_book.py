"""Classes of equal answers."""

import asyncio

import pytest

from services.common.grading.grader import GraderUnavailable
from services.search.answer_book import AnswerBook
from services.search.clients.dependencies import DependencyError


class Halves:
    """Knows that 1/2 and 0.5 are equal; yields before it answers, as a worker process does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def equal(self, a: str, b: str) -> bool:
        """Compare."""
        self.asked.append((a, b))
        await asyncio.sleep(0)
        return {a, b} <= {"1/2", "0.5", "50/100"}


class Closed:
    """A grader that cannot answer."""

    async def equal(self, a: str, b: str) -> bool:
        """Fail."""
        raise GraderUnavailable("closed")


async def test_equal_answers_share_the_key_of_the_first() -> None:
    book = AnswerBook(Halves())
    assert [await book.key(answer) for answer in ("1/2", "3", "0.5", "3")] == [
        "1/2",
        "3",
        "1/2",
        "3",
    ]


async def test_forms_that_arrive_together_found_one_class() -> None:
    book = AnswerBook(Halves())
    keys = await asyncio.gather(*(book.key(answer) for answer in ("1/2", "0.5", "50/100")))
    assert len(set(keys)) == 1


async def test_a_form_is_compared_once() -> None:
    equality = Halves()
    book = AnswerBook(equality)
    for _ in range(3):
        await book.key("1/2")
        await book.key("3")
    assert equality.asked == [("1/2", "3")]


async def test_comparisons_are_bounded() -> None:
    equality = Halves()
    book = AnswerBook(equality, max_classes=2)
    for number in range(10):
        await book.key(str(number))
    assert len(equality.asked) <= 1 + 2 * 8


async def test_a_grader_that_is_gone_is_a_missing_dependency() -> None:
    book = AnswerBook(Closed())
    await book.key("1/2")
    with pytest.raises(DependencyError, match="grader: closed"):
        await book.key("0.5")


class Gold:
    """Accepts one answer; counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def equal(self, a: str, b: str) -> bool:
        """Compare."""
        return a == b

    async def correct(self, gold: str, answer: str) -> bool:
        """Grade."""
        self.asked.append((gold, answer))
        return answer == "1/2"


async def test_a_class_is_graded_once_against_the_known_answer() -> None:
    gold = Gold()
    book = AnswerBook(gold, truth="0.5")
    assert [await book.is_right(key) for key in ("1/2", "3", "1/2", "3")] == [
        True,
        False,
        True,
        False,
    ]
    assert gold.asked == [("0.5", "1/2"), ("0.5", "3")]


async def test_without_a_known_answer_nothing_is_right_or_wrong() -> None:
    assert await AnswerBook(Gold()).is_right("1/2") is None
