"""The program in a chat's reply, however it is wrapped: pure text.

Wanted is one Python block. Read as well are several of them, a block that is not closed, a bare
program with prose around it, and reasoning before the reply proper.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_REASONED: Final = "</think>"
_BLOCK: Final = re.compile(
    r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL
)
_PYTHON: Final = frozenset({"python", "py", "python3"})
_MARKER: Final = re.compile(r"^# Step\b", re.MULTILINE)
_PARAGRAPH: Final = re.compile(r"\n[ \t]*\n")
_LONGEST_BARE: Final = 65_536
_TRIES: Final = 32


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of code in a reply.

    Attributes:
        start: where it begins in the reply, in characters.
        closed: whether its block is closed; None for code outside of blocks.
    """

    start: int
    code: str
    closed: bool | None


def parts(text: str) -> list[Part]:
    """The code of a reply, in order; none where it holds none."""
    begin = max(text.rfind(_REASONED) + len(_REASONED), 0) if _REASONED in text else 0
    blocks = list(_BLOCK.finditer(text, begin))
    named = [one for one in blocks if one[1].lower() in _PYTHON]
    # What has no name may be shown output, but where nothing is named it is the program.
    found = named or [one for one in blocks if not one[1]]
    if found:
        return [Part(one.start(2), one[2], bool(one[3])) for one in found]
    return [] if blocks else list(_bare(text, begin))


def _bare(text: str, begin: int) -> Iterator[Part]:
    """A program without a block: from its first marker, or all that is there, while it is code."""
    marked = _MARKER.search(text, begin)
    start = marked.start() if marked else begin
    code = text[start:]
    if marked and not _is_code(code):
        ends = [match.start() for match in _PARAGRAPH.finditer(code)]
        shorter = (code[:end] for end in reversed(ends[-_TRIES:]))
        # One that was cut off is no whole program either, and is kept as it is.
        code = next((part for part in shorter if _MARKER.match(part) and _is_code(part)), code)
    if marked or _is_code(code):
        yield Part(start, code, None)


def _is_code(text: str) -> bool:
    if not text.strip() or len(text) > _LONGEST_BARE:
        return False
    try:
        with warnings.catch_warnings(action="ignore"):
            return bool(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
