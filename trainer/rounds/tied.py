"""Runs a command that ends with the process that started it, however that ends.

    python tied.py PARENT_PID COMMAND [ARGUMENT ...]

The kernel sends it SIGTERM then, which torchrun passes on to its processes. Linux only.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        sys.exit(f"tied: prctl: {os.strerror(ctypes.get_errno())}")
    parent, *command = sys.argv[1:]
    if os.getppid() != int(parent):  # it ended before the call
        sys.exit(0)
    # The setting outlives this: the command is the same process.
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
