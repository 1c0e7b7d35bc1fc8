"""One-shot grants: the warden's answers to the forks that its processes ask the kernel for.

A seccomp filter on the zygote sends here every clone by it or its descendants (seccomp_unotify(2)).
Only a process that the warden has just asked to fork, and only once, is let through; what the
fork may be is checked by another filter, in the kernel.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import struct
from collections.abc import Callable
from typing import Final

# struct seccomp_notif {u64 id; u32 pid; u32 flags; struct seccomp_data data (64 bytes)}
_NOTIFICATION: Final = struct.Struct("=QII64x")
# struct seccomp_notif_resp {u64 id; s64 val; s32 error; u32 flags}
_RESPONSE: Final = struct.Struct("=QqiI")
_RECEIVE: Final = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_SEND: Final = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND
_CONTINUE: Final = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE


def receive(listener: int) -> tuple[int, int]:
    """Wait for a process that asks to fork: the number of its question, and its pid."""
    buffer = bytearray(_NOTIFICATION.size)
    fcntl.ioctl(listener, _RECEIVE, buffer)
    number, pid, _ = _NOTIFICATION.unpack(buffer)
    return number, pid


def answer(listener: int, number: int, *, allow: bool) -> None:
    """Answer a question; FileNotFoundError where the asking process is gone."""
    error, flags = (0, _CONTINUE) if allow else (-errno.EPERM, 0)
    fcntl.ioctl(listener, _SEND, bytearray(_RESPONSE.pack(number, 0, error, flags)))


class Grants:
    """Answers forks.

    Args:
        listener: descriptor of the filter's listener; owned by this object.
        trusted: the zygote's pid, whose forks are its own business.
        on_intruder: called with the pid of a process that forks unasked.
    """

    def __init__(self, listener: int, trusted: int, on_intruder: Callable[[int], None]) -> None:
        self._listener = listener
        self._trusted = trusted
        self._on_intruder = on_intruder
        self._armed: set[int] = set()
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        asyncio.get_running_loop().add_reader(listener, self._answer_next)

    def arm(self, pid: int) -> None:
        """Let the next fork of a process through."""
        self._armed.add(pid)

    def disarm(self, pid: int) -> bool:
        """Take back a grant; False where it has been used."""
        unused = pid in self._armed
        self._armed.discard(pid)
        return unused

    def _answer_next(self) -> None:
        events = dict(self._poll.poll(0)).get(self._listener, 0)
        if not events & select.POLLIN:
            if events:
                # Nobody is left under the filter.
                asyncio.get_running_loop().remove_reader(self._listener)
            return
        # ENOENT: the process was killed between asking and being heard, or being answered.
        with contextlib.suppress(FileNotFoundError):
            number, pid = receive(self._listener)
            answer(self._listener, number, allow=self._may_fork(pid))

    def _may_fork(self, pid: int) -> bool:
        if pid == self._trusted:
            return True
        if pid in self._armed:
            self._armed.discard(pid)
            return True
        self._on_intruder(pid)
        return False

    def close(self) -> None:
        """Stop answering; from then on the kernel refuses every fork."""
        asyncio.get_running_loop().remove_reader(self._listener)
        os.close(self._listener)
