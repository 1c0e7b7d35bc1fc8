"""Makes a fork of this process cheap: fewer mappings, larger pages, nothing left to warm up.

A fork copies the list of mappings and the page tables, its end frees both, and every page that
either side then writes is copied in a fault of its own. For the zygote alone, which trusts all it
has loaded; run once, before anything is confined. Standard library only.
"""

import ctypes
import itertools
import mmap
from dataclasses import dataclass
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

_MADV_COLLAPSE: Final = 25
_HUGE_PAGE: Final = 2 * 2**20
# What the linker makes of a shared library: headers, code, constants, relocated constants, data.
_IMAGE: Final = ("r--p", "r-xp", "r--p", "r--p", "rw-p")
_READ_EXECUTE: Final = mmap.PROT_READ | mmap.PROT_EXEC
_READ_WRITE: Final = mmap.PROT_READ | mmap.PROT_WRITE


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of /proc/self/maps; `start` and `end` are addresses."""

    start: int
    end: int
    access: str
    name: str


def mappings() -> list[Mapping]:
    """This process's mappings, by address."""
    with open("/proc/self/maps") as maps:  # noqa: PTH123 - pathlib is not loaded here
        return [_read(line) for line in maps]


def _read(line: str) -> Mapping:
    span, access, _, _, _, name = [*line.rstrip("\n").split(maxsplit=5), ""][:6]
    start, end = (int(address, 16) for address in span.split("-"))
    return Mapping(start, end, access, name)


def merge_images() -> int:
    """Make two mappings of the five of each shared library; returns how many libraries were.

    Constants become executable beside the code, from the same file: no page that was or can be
    written does. Relocated constants become writable again beside the data.
    """
    images: dict[str, list[Mapping]] = {}
    for mapping in mappings():
        if mapping.name.startswith("/"):
            images.setdefault(mapping.name, []).append(mapping)
    merged = 0
    for image in images.values():
        if tuple(part.access for part in image) == _IMAGE and _adjoin(image):
            headers, _, constants, relocated, _ = image
            _protect(headers, _READ_EXECUTE)
            _protect(constants, _READ_EXECUTE)
            _protect(relocated, _READ_WRITE)
            merged += 1
    return merged


def _adjoin(image: list[Mapping]) -> bool:
    return all(left.end == right.start for left, right in itertools.pairwise(image))


def _protect(mapping: Mapping, access: int) -> None:
    """Where the kernel refuses (some policies do), the mapping stays as it is."""
    size = ctypes.c_size_t(mapping.end - mapping.start)
    _LIBC.mprotect(ctypes.c_void_p(mapping.start), size, access)


def collapse_heap() -> int:
    """Put private memory on huge pages where it can be; returns how many MiB were.

    With few large entries, page tables are copied and freed in a fraction of the time. What a
    child then writes is still copied in small pages. Linux 6.1.
    """
    collapsed = 0
    for mapping in mappings():
        if mapping.access != "rw-p" or mapping.name not in ("", "[heap]"):
            continue
        first = -(-mapping.start // _HUGE_PAGE) * _HUGE_PAGE
        for page in range(first, mapping.end - _HUGE_PAGE + 1, _HUGE_PAGE):
            address = ctypes.c_void_p(page)
            failed = _LIBC.madvise(address, ctypes.c_size_t(_HUGE_PAGE), _MADV_COLLAPSE)
            collapsed += 0 if failed else _HUGE_PAGE // 2**20
    return collapsed
