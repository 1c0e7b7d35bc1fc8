"""Child processes that never outlive their parent, however it ends."""

import functools
import os
import signal
import threading
import time

POLL_SECONDS = 0.5


class Lifeline:
    """Ties a process to the one that started it.

    Put it among the arguments that start a child through `multiprocessing` with the spawn method.
    Arriving there is all it does: from then on the child kills itself once its parent is gone, also
    after a SIGKILL, which gives no parent time to clean up. It may travel on to grandchildren.
    """

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return _arrive, (os.getpid(),)

    def compute_hash(self) -> str:
        """A constant: a lifeline changes nothing that a cache could depend on."""
        return type(self).__name__


def _arrive(sender: int) -> Lifeline:
    if sender != os.getpid():  # a mere copy within one process ties nothing
        _die_with(sender)
    return Lifeline()


@functools.cache
def _die_with(parent: int) -> None:
    threading.Thread(target=_watch, args=(parent,), name="lifeline", daemon=True).start()


def _watch(parent: int) -> None:
    # An orphan is handed to another process, so polling sees every death, even one before this.
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
