"""Problems with reference answers, as the common releases of mathematics benchmarks hold them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.common.grading import answers

# By preference, in lower case; releases differ in capitals only ("Problem", "Answer", "ID").
_ID_FIELDS = ("unique_id", "id")
_QUESTION_FIELDS = ("question", "problem")
_ANSWER_FIELDS = ("final_answer", "answer", "ground_truth", "solution")
_LEVEL_FIELDS = ("level", "difficulty")
_SUBJECT_FIELDS = ("subject", "type", "subfield")


class BadProblems(ValueError):  # noqa: N818 - says what the data hold
    """Data that cannot be read as problems; the message names the place and the field."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem, its name within its suite, and the reference answer.

    Attributes:
        answer: empty where it is not known, which only those allow who do not need it.
        level: how difficult its release says that it is; empty where it does not.
        subject: its field of mathematics, alike.
    """

    id: str
    question: str
    answer: str
    level: str = ""
    subject: str = ""

    @property
    def digest(self) -> str:
        """A hash of question and answer: records of another version of the problem are not used."""
        text = json.dumps([self.question, self.answer])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_problem(
    fields: Mapping[str, Any], number: int, place: str, *, answered: bool = True
) -> Problem:
    """A problem from a row of a release.

    The answer is taken from `final_answer`, `answer`, `ground_truth` or `solution`, whichever comes
    first. Where that is a worked solution, it is what stands in its last box or behind its `####`.

    Args:
        fields: the row.
        number: names the problem where the row has no id.
        place: names the row in errors.
        answered: whether it must have an answer.

    Raises:
        BadProblems: it has no question, or no answer and must have one.
    """
    row = {name.lower(): value for name, value in fields.items()}
    identity = next((row[name] for name in _ID_FIELDS if row.get(name) not in (None, "")), number)
    return Problem(
        id=str(identity),
        question=_text(row, _QUESTION_FIELDS, place),
        answer=_answer(row, place) if answered or _has_answer(row) else "",
        level=_optional(row, _LEVEL_FIELDS),
        subject=_optional(row, _SUBJECT_FIELDS),
    )


def _text(row: Mapping[str, Any], names: tuple[str, ...], place: str) -> str:
    name = next((name for name in names if name in row), None)
    if name is None:
        raise BadProblems(f"{place}: no {' or '.join(names)}")
    text = _plain(row[name])
    if text is None:
        raise BadProblems(f"{place}, {name}: must be text that is not empty")
    return text


def _has_answer(row: Mapping[str, Any]) -> bool:
    return any(row.get(name) is not None for name in _ANSWER_FIELDS)


def _answer(row: Mapping[str, Any], place: str) -> str:
    name = next((name for name in _ANSWER_FIELDS if name in row), None)
    if name is None:
        raise BadProblems(f"{place}: no {' or '.join(_ANSWER_FIELDS)}")
    text = _plain(row[name])
    if text is None:
        raise BadProblems(f"{place}, {name}: must be text that is not empty")
    has_result = "####" in text or "\\boxed" in text
    if not has_result and name != "solution":
        return text
    found = answers.from_text(text) if has_result else None
    if found is None:
        raise BadProblems(f"{place}, {name}: a solution without \\boxed{{}} or ####")
    return found


def _plain(value: Any) -> str | None:
    """A value as text, or None where it is none; lists hold answers that are all wanted."""
    if isinstance(value, list):
        parts = [_plain(part) for part in value]
        return None if not parts or None in parts else ", ".join(part or "" for part in parts)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _optional(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _plain(row.get(name)))), "")
