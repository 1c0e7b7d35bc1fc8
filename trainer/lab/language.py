"""The language of the laboratory's problems: a few words, a few kinds of sentences.

A story tells of one quantity after another. Each sentence that matters makes a quantity from
numbers and quantities before it; others only mention a number. Wordings of one meaning share their
words with others, so that a word alone does not tell the operation.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

Op = Literal["add", "subtract", "multiply", "divide"]
SIGNS: Final[Mapping[Op, str]] = {"add": "+", "subtract": "-", "multiply": "*", "divide": "//"}

NAMES: Final = ("Ann", "Ben", "Eva", "Leo", "Mia", "Sam", "Tom", "Zoe")
THINGS: Final = ("apples", "books", "cards", "coins", "pens", "shells")

Kind = Literal["start", "change", "relate", "bags", "noise", "now", "of", "both", "more"]


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to say something.

    Attributes:
        text: with {n}, {m} for numbers, {who}, {other} for names and {thing}.
        kind: `start` gives a quantity its first value; `change` changes the last one by {n};
            `relate` makes {who}'s from {other}'s by {n}; `bags` makes {who}'s from {m} times {n};
            `noise` mentions {n}; the others are questions, for the last quantity (`now`), for that
            of {who} (`of`), for the sum of {who}'s and {other}'s (`both`), or by how much {who}'s
            is above {other}'s (`more`).
        op: of `change` and `relate`.
    """

    text: str
    kind: Kind
    op: Op | None = None


WORDINGS: Final[Sequence[Wording]] = (
    Wording("{who} has {n} {thing} .", "start"),
    Wording("there are {n} {thing} in a box of {who} .", "start"),
    Wording("{who} finds {n} more .", "change", "add"),
    Wording("a friend gives {who} {n} .", "change", "add"),
    Wording("{n} more are put there .", "change", "add"),
    Wording("{who} loses {n} .", "change", "subtract"),
    Wording("{who} gives {n} to a friend .", "change", "subtract"),
    Wording("{n} are taken from there .", "change", "subtract"),
    Wording("then there are {n} times as many .", "change", "multiply"),
    Wording("{who} gets {n} times as many .", "change", "multiply"),
    Wording("{who} has one of {n} equal parts left .", "change", "divide"),
    Wording("they are put in {n} equal parts and one is left .", "change", "divide"),
    Wording("{who} has {n} more than {other} .", "relate", "add"),
    Wording("{who} has what {other} has and {n} more .", "relate", "add"),
    Wording("{who} has {n} less than {other} .", "relate", "subtract"),
    Wording("{who} has what {other} has but for {n} .", "relate", "subtract"),
    Wording("{who} has {n} times as many as {other} .", "relate", "multiply"),
    Wording("{who} has one of {n} equal parts of what {other} has .", "relate", "divide"),
    Wording("{who} has {m} bags of {n} {thing} .", "bags"),
    Wording("there are {m} bags of {who} with {n} {thing} .", "bags"),
    Wording("{who} is {n} years old .", "noise"),
    Wording("a friend of {who} has {n} {thing} .", "noise"),
    Wording("there are {n} friends in the room .", "noise"),
    Wording("how many {thing} are there now ?", "now"),
    Wording("how many {thing} has {who} now ?", "now"),
    Wording("how many {thing} has {who} ?", "of"),
    Wording("how many {thing} have {who} and {other} ?", "both"),
    Wording("how many more {thing} has {who} than {other} ?", "more"),
)
QUESTIONS: Final = frozenset({"now", "of", "both", "more"})


def wordings(kind: Kind, op: Op | None = None) -> list[Wording]:
    """All ways to say one thing."""
    return [one for one in WORDINGS if one.kind == kind and one.op == op]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A wording and what was put into it."""

    wording: Wording
    n: int = 0
    m: int = 0
    who: str = ""
    other: str = ""
    thing: str = ""

    def text(self) -> str:
        """As it stands in the problem."""
        return self.wording.text.format(
            n=self.n, m=self.m, who=self.who, other=self.other, thing=self.thing
        )


def fill(
    wording: Wording, *, n: int = 0, m: int = 0, who: str = "", other: str = "", thing: str = ""
) -> Sentence:
    """A sentence of a wording; what it has no place for is left out."""
    text = wording.text
    return Sentence(
        wording,
        n if "{n}" in text else 0,
        m if "{m}" in text else 0,
        who if "{who}" in text else "",
        other if "{other}" in text else "",
        thing if "{thing}" in text else "",
    )


class NotInLanguage(ValueError):  # noqa: N818 - says what the text is
    """A text that the laboratory could not have written; the message names the sentence."""


def read(text: str) -> list[Sentence]:
    """The sentences of a text; NotInLanguage where one is none."""
    return [_read_sentence(part) for part in re.findall(r"[^.?]+[.?]", text.strip())]


def _read_sentence(text: str) -> Sentence:
    for wording, pattern in _patterns():
        if match := pattern.fullmatch(text.strip()):
            found = match.groupdict()
            return fill(
                wording,
                n=int(found.get("n", 0)),
                m=int(found.get("m", 0)),
                who=found.get("who", ""),
                other=found.get("other", ""),
                thing=found.get("thing", ""),
            )
    raise NotInLanguage(f"not a sentence of the laboratory: {text.strip()!r}")


@cache
def _patterns() -> list[tuple[Wording, re.Pattern[str]]]:
    groups = {
        "n": r"(?P<n>\d{1,4})",
        "m": r"(?P<m>\d{1,4})",
        "who": f"(?P<who>{'|'.join(NAMES)})",
        "other": f"(?P<other>{'|'.join(NAMES)})",
        "thing": f"(?P<thing>{'|'.join(THINGS)})",
    }

    def pattern(text: str) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", text)
        return re.compile(
            "".join(groups[one] if i % 2 else re.escape(one) for i, one in enumerate(parts))
        )

    return [(one, pattern(one.text)) for one in WORDINGS]
