"""Where this platform keeps what it downloads and makes on one machine."""

import os
from pathlib import Path


def home() -> Path:
    """The home folder: RSTAR_HOME, else `rstar` in the user's cache folder (XDG_CACHE_HOME)."""
    if own := os.environ.get("RSTAR_HOME"):
        return Path(own).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    # The XDG base directory specification says to ignore relative paths.
    base = Path(cache) if cache and Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "rstar"


def store_folder() -> Path:
    """The default model store."""
    return home() / "store"


def downloads_folder() -> Path:
    """Unfinished downloads and the locks that guard them."""
    return home() / "downloads"
