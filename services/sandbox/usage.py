"""What memory a process holds, as its owner can tell without its help."""

import os
import resource
from typing import Final

_PAGE_BYTES: Final = resource.getpagesize()
# Of a process's page tables and kernel structures.
_PROCESS_BYTES: Final = 1024 * 1024
# Position in /proc/PID/stat, counted from the one after the name.
_MINOR_FAULTS: Final = 7
_MAX_BYTES: Final = 4096


def anonymous_bytes(pid: int) -> int:
    """RssAnon of a process: pages of its own, and those that it still shares since a fork."""
    fields = _read(pid, "statm").split()
    return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES if fields else 0


def snapshot_bytes(pid: int, baseline_bytes: int) -> int:
    """Memory that would not be there without a process, in bytes, from above.

    Each page that it has written since it was forked took a minor fault of it, but for huge pages,
    which took one for five hundred, and for what an ancestor wrote that may be gone by now: these
    show in how far its RssAnon is above that of the zygote, `baseline_bytes`. The kernel's exact
    count (smaps_rollup) walks all page tables, which takes as long as a fork.
    """
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    if not fields:
        return 0
    growth = max(0, anonymous_bytes(pid) - baseline_bytes)
    return _PROCESS_BYTES + growth + int(fields[_MINOR_FAULTS]) * _PAGE_BYTES


def _read(pid: int, name: str) -> bytes:
    """A file of a process's in /proc; empty where it is gone."""
    try:
        # Not through pathlib, which takes three times as long: this is done at every step.
        file = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError):
        return b""
    try:
        return os.read(file, _MAX_BYTES)
    except ProcessLookupError:
        return b""
    finally:
        os.close(file)
