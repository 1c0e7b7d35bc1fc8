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
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mremap.restype = ctypes.c_void_p

_FAILED: Final = ctypes.c_void_p(-1).value
_PRIVATE_ANONYMOUS: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_MAYMOVE_FIXED: Final = 1 | 2  # MREMAP_MAYMOVE | MREMAP_FIXED
_MADV_HUGEPAGE: Final = 14
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


def copy_interpreter() -> int:
    """Put the interpreter's code into private memory on huge pages; returns how many MiB were.

    A fork does not copy the page tables of files that were only read, so that each child would
    fault its way through the code anew; of private memory it does, which on huge pages is an entry
    or two. The copy stays what the file was: readable and executable.
    """
    inside = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value or 0
    (code,) = [mapping for mapping in mappings() if mapping.start <= inside < mapping.end]
    size = code.end - code.start
    return size // 2**20 if size >= _HUGE_PAGE and _copy(code, size) else 0


def _copy(code: Mapping, size: int) -> bool:
    """Replace a mapping by a copy on huge pages; False, and it stays, where there can be none."""
    room = size + _HUGE_PAGE
    begin = _LIBC.mmap(None, ctypes.c_size_t(room), _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
    if begin == _FAILED:
        return False
    # As far from the beginning of a huge page as what it replaces: such can be moved in one piece.
    copy = begin + (code.start - begin) % _HUGE_PAGE
    _LIBC.madvise(ctypes.c_void_p(copy), ctypes.c_size_t(size), _MADV_HUGEPAGE)
    ctypes.memmove(copy, code.start, size)
    # With small pages it would be worth less than it costs.
    huge = 2 * _collapse(copy, copy + size) * 2**20 >= size
    refused = _LIBC.mprotect(ctypes.c_void_p(copy), ctypes.c_size_t(size), _READ_EXECUTE)
    moved = huge and not refused and _move(copy, size, code.start)
    _unmap(begin, copy - begin)
    _unmap(copy + size, begin + room - copy - size)
    if not moved:
        _unmap(copy, size)
    return moved


def _move(begin: int, size: int, to: int) -> bool:
    """Move memory over other memory: in one call, after which either all or nothing has been."""
    length = ctypes.c_size_t(size)
    moved = _LIBC.mremap(
        ctypes.c_void_p(begin), length, length, _MAYMOVE_FIXED, ctypes.c_void_p(to)
    )
    return bool(moved == to)


def _unmap(begin: int, size: int) -> None:
    if size:
        _LIBC.munmap(ctypes.c_void_p(begin), ctypes.c_size_t(size))


def collapse_heap() -> int:
    """Put private memory on huge pages where it can be; returns how many MiB were.

    With few large entries, page tables are copied and freed in a fraction of the time. What a
    child then writes is still copied in small pages. Linux 6.1.
    """
    return sum(
        _collapse(mapping.start, mapping.end)
        for mapping in mappings()
        if mapping.access == "rw-p" and mapping.name in ("", "[heap]")
    )


def _collapse(start: int, end: int) -> int:
    """Put all whole huge pages between two addresses on one each; returns how many MiB were."""
    collapsed = 0
    first = -(-start // _HUGE_PAGE) * _HUGE_PAGE
    for page in range(first, end - _HUGE_PAGE + 1, _HUGE_PAGE):
        address = ctypes.c_void_p(page)
        failed = _LIBC.madvise(address, ctypes.c_size_t(_HUGE_PAGE), _MADV_COLLAPSE)
        collapsed += 0 if failed else _HUGE_PAGE // 2**20
    return collapsed
