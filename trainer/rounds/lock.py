"""One evolution at a time works in a folder."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trainer.rounds.stage import BadStage

LOCK: Final = ".lock"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder, made where it is missing; the kernel lets go when the process ends.

    Raises:
        BadStage: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadStage(f"{folder}: another process is evolving there") from None
        yield
