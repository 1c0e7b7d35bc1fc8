"""How much memory the service may still take, so that it turns searches away in time."""

import os
from dataclasses import dataclass, field
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_STATM = Path("/proc/self/statm")


class MemoryShort(RuntimeError):  # noqa: N818 - a state
    """Beginning another search might run the service out of memory."""

    def __init__(self, used: int, allowed: int, retry_after_seconds: int = 5) -> None:
        mib = 1024 * 1024
        super().__init__(f"{used // mib} of {allowed // mib} MiB of memory are in use")
        self.retry_after_seconds = retry_after_seconds


@dataclass(slots=True)
class Watermark:
    """A line that memory in use must not have passed when a search begins.

    Attributes:
        limit_bytes: what the process may take in all; 0 takes the limit of its cgroup, if it has
            one.
        share: of the limit, where the line is.
        cgroup: folder of the process's cgroup (version 2).
    """

    limit_bytes: int
    share: float
    cgroup: Path = field(default=_CGROUP)

    def check(self) -> None:
        """MemoryShort where the line is passed."""
        if self.limit_bytes:
            used, limit = resident_bytes(), self.limit_bytes
        else:
            used, limit = self._cgroup_bytes()
        if limit and used > self.share * limit:
            raise MemoryShort(used, round(self.share * limit))

    def _cgroup_bytes(self) -> tuple[int, int]:
        """Memory of the cgroup that cannot be reclaimed at once, and its limit; 0 for no limit."""
        try:
            limit = (self.cgroup / "memory.max").read_text().strip()
            if limit == "max":
                return 0, 0
            used = int((self.cgroup / "memory.current").read_text())
            stat = (self.cgroup / "memory.stat").read_text()
        except OSError:
            # No cgroup of version 2 here, so no limit that we could know of.
            return 0, 0
        # Pages of files that nobody used lately make room without being asked.
        inactive = dict(line.split(" ", 1) for line in stat.splitlines()).get("inactive_file", "0")
        return max(used - int(inactive), 0), int(limit)


def resident_bytes() -> int:
    """Resident memory of this process."""
    pages = int(_STATM.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
