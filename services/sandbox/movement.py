"""How a light interpreter notices that a step needs the full one. Standard library only."""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn


class Missing:
    """The last of the finders: asked for what no other one has found.

    Not derived from importlib.abc's class, which brings in a dozen modules and shared libraries.

    Whether the full interpreter has it, or raises ImportError as this one would, is its business.

    Args:
        leave: gives the step up; it does not return.
    """

    def __init__(self, leave: Callable[[], NoReturn]) -> None:
        self._leave = leave

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Leave."""
        self._leave()


def watch_imports(leave: Callable[[], NoReturn]) -> None:
    """Call `leave` where a step imports what cannot be found."""
    sys.meta_path.append(Missing(leave))
