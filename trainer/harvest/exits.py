"""How a worker ends."""

from enum import IntEnum

from services.common.environment import EXIT_REFUSED


class Exit(IntEnum):
    """Exit codes of `python -m trainer.harvest`."""

    DONE = 0
    """Every item of the harvest is committed."""
    REFUSED = EXIT_REFUSED
    """Its settings are refused, as another's would be."""
    STOPPED = 4
    """It cannot go on, and another could not either."""
    TOLD = 143
    """It was told to stop, and has given back what it held."""
