"""How a worker ends."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `python -m trainer.harvest`."""

    DONE = 0
    """Every item of the harvest is committed."""
    STOPPED = 4
    """It cannot go on, and another could not either."""
    TOLD = 143
    """It was told to stop, and has given back what it held."""
