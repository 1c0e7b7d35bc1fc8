"""From a server's reply to the steps that it adds to a solution: pure text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.common.steps import Step, split_comment, split_steps
from services.policy.endpoint.program import Part, parts
from services.policy.endpoint.prompts import RAW, Api
from services.policy.prompts import FENCE, Finish, Piece, marker, next_number, plain

_NUMBERED: Final = re.compile(r"^# Step (\d{1,6})\b[ \t]*:?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ended.

    Attributes:
        is_cut: by the bound on tokens or by the server.
        may_stop: whether it may have been stopped where a further step begins.
        stop: the text at which it was stopped; empty where there was none, None where the server
            does not say.
    """

    is_cut: bool = False
    may_stop: bool = False
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply says.

    Attributes:
        pieces: its new steps, also those beyond what was asked for.
        kept: how many of them the candidate has.
    """

    pieces: list[Piece]
    kept: int
    finish: Finish


def read(api: Api, text: str, steps: Sequence[Step], max_steps: int, ending: Ending) -> Reading:
    """The steps of a reply.

    Args:
        steps: the solution that it continues.
        max_steps: 0 for no limit.
    """
    if api == "chat":
        pieces, is_open = _of_chat(text, steps)
    else:
        own, fence, _ = text.partition(FENCE)
        pieces, is_open = RAW.split(steps, own), None if not fence else False
    if max_steps and len(pieces) > max_steps:
        return Reading(pieces, max_steps, Finish.STEP)
    if ending.is_cut and is_open is not False:
        return Reading(pieces, len(pieces), Finish.LENGTH)
    return Reading(pieces, len(pieces), _finish(pieces, ending, is_open=is_open))


def _finish(pieces: Sequence[Piece], ending: Ending, *, is_open: bool | None) -> Finish:
    """Whether a reply that was not cut ended the code, or stopped before a further step."""
    if is_open is False or not ending.may_stop or not pieces:
        return Finish.CODE
    if ending.stop:
        return Finish.STEP if ending.stop.strip().startswith("# Step") else Finish.CODE
    # A block that was opened would have been closed. Some servers pass a stop off as none at all;
    # there, and without a block, the last step is the one that prints the answer.
    if is_open and ending.stop is None:
        return Finish.STEP
    return Finish.CODE if "print(" in pieces[-1].text else Finish.STEP


def _of_chat(text: str, steps: Sequence[Step]) -> tuple[list[Piece], bool | None]:
    """New steps, and whether the block that they stand in is left open; None without a block."""
    found: list[Piece] = []
    is_open: bool | None = None
    for part in parts(text):
        new = _new(_pieces(part), steps)
        if new and found and _number(new[0]) <= _number(found[0]):
            break  # the whole program once more
        if new:
            found += new
            is_open = None if part.closed is None else not part.closed
    return _numbered(found, steps), is_open


def _pieces(part: Part) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    for step in split_steps(part.code):
        at = part.code.index(step, at)
        pieces.append(Piece(part.start + at, step))
        at += len(step)
    return pieces


def _new(pieces: list[Piece], steps: Sequence[Step]) -> list[Piece]:
    """What does not repeat the steps that were given, word for word or by their numbers."""
    given = {_essence(step.text) for step in steps}
    first = 0
    while first < len(pieces) and _essence(pieces[first].text) in given:
        first += 1
    rest = pieces[first:]
    due = next_number(steps)
    # A repeated step may be worded anew. With no step that is due, the count has begun again.
    if any(_number(piece) >= due for piece in rest):
        while rest and 0 < _number(rest[0]) < due:
            rest = rest[1:]
    return rest


def _essence(step: str) -> str:
    """A step's code without comments and white space; of one without code, its text."""
    _, code = split_comment(step)
    return "".join((code or step).split())


def _number(piece: Piece) -> int:
    found = _NUMBERED.search(piece.text)
    return int(found[1]) if found else 0


def _numbered(pieces: Sequence[Piece], steps: Sequence[Step]) -> list[Piece]:
    """Steps in canonical form: each with its marker, counted on from those before."""
    numbered: list[Piece] = []
    before = list(steps)
    for piece in pieces:
        text = _marked(plain(piece.text).strip("\n").rstrip(), marker(before))
        if text is not None:
            numbered.append(replace(piece, text=text))
            before.append(Step(text))
    return numbered


def _marked(text: str, opening: str) -> str | None:
    """A step under its marker; None where there is nothing else to it."""
    bare = _NUMBERED.sub("", text, count=1)
    if not bare.strip(" \t\n:"):
        return None
    if bare != text:
        return _NUMBERED.sub(opening, text, count=1)
    first, _, rest = text.partition("\n")
    if not first.startswith("#"):
        return f"{opening}\n{text}"
    title = re.sub(r"^#+\s*(Step\b)?[\s:]*", "", first)
    return f"{opening} {title}".rstrip() + (f"\n{rest}" if rest else "")
