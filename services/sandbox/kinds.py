"""The two kinds of interpreter that a step may run in, and which one a step is given.

Most of what a fork costs is copying and freeing the page tables of numpy and sympy, which many
steps never touch. The choice is by the text alone and only about speed: a step that after all
imports what its interpreter lacks is run again in the full one (movement.py).
"""

import enum
from collections.abc import Iterable
from typing import Final

# Also as part of a longer word or in a comment: a step too many in the full one does no harm.
_HEAVY: Final = ("sympy", "numpy", "mpmath", "hashlib", "unittest", "asyncio", "logging")


class Kind(enum.StrEnum):
    """What an interpreter has loaded."""

    LIGHT = "light"  # preload.LIGHT
    FULL = "full"  # preload.STANDARD and preload.PACKAGES


def needed(codes: Iterable[str]) -> Kind:
    """The kind for steps with this code, each after the one before."""
    # Not one regular expression: a search for a word goes through megabytes in no time.
    heavy = any(word in code for code in codes for word in _HEAVY)
    return Kind.FULL if heavy else Kind.LIGHT
