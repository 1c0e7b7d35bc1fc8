"""Runs a command that ends with the process that started it, however that ends.

    python -m trainer.rounds.tied PARENT_PID COMMAND [ARGUMENT ...]

It gets SIGTERM then, which torchrun passes on to its processes.
"""

import os
import signal
import sys

from services.common.parent import die_with


def main() -> None:
    """Become the command."""
    parent, *command = sys.argv[1:]
    die_with(int(parent), signal.SIGTERM)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
