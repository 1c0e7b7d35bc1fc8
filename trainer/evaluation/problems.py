"""Problems with reference answers, from JSON lines."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ID_FIELDS = ("id", "unique_id")
_QUESTION_FIELDS = ("question", "problem")
_ANSWER_FIELDS = ("answer", "final_answer")


class BadProblems(ValueError):  # noqa: N818 - says what the file holds
    """A file that cannot be read as problems; the message names the line and the field."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem, its name within its suite, and the reference answer."""

    id: str
    question: str
    answer: str

    @property
    def digest(self) -> str:
        """A hash of question and answer: records of another version of the problem are not used."""
        text = json.dumps([self.question, self.answer])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_problems(path: Path, limit: int | None = None) -> list[Problem]:
    """The first `limit` problems of a JSON-lines file, in its order.

    One without an id is named by its line. BadProblems where the file cannot be read, has a line
    that is no problem with an answer, uses an id twice, or holds nothing.
    """
    problems: list[Problem] = []
    seen: set[str] = set()
    for number, fields in _objects(path):
        if limit is not None and len(problems) >= limit:
            break
        problem = _problem(fields, number, f"{path}, line {number}")
        if problem.id in seen:
            raise BadProblems(f"{path}, line {number}, id: {problem.id!r} is used twice")
        seen.add(problem.id)
        problems.append(problem)
    if not problems:
        raise BadProblems(f"{path}: no problems in it")
    return problems


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadProblems(f"{path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise BadProblems(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise BadProblems(f"{path}, line {number}: not a JSON object")
        yield number, fields


def _problem(fields: dict[str, Any], number: int, place: str) -> Problem:
    identity = next((fields[name] for name in _ID_FIELDS if name in fields), number)
    return Problem(
        id=str(identity),
        question=_text(fields, _QUESTION_FIELDS, place),
        answer=_text(fields, _ANSWER_FIELDS, place),
    )


def _text(fields: dict[str, Any], names: tuple[str, ...], place: str) -> str:
    for name in names:
        if name not in fields:
            continue
        value = fields[name]
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            raise BadProblems(f"{place}, {name}: must be text that is not empty")
        return value.strip()
    raise BadProblems(f"{place}: no {' or '.join(names)}")
