"""The kernel calls that Python's standard library does not offer, through ctypes.

Imported by the zygote and so by every step: standard library only.
"""

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Callable
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
# Calls that keep the GIL: a fork in the middle of giving it up would leave it to nobody.
_LIBC_WITH_GIL: Final = ctypes.PyDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC_WITH_GIL.syscall.restype = ctypes.c_long

# System call numbers by machine; the rest of the file uses this machine's.
_NUMBERS: Final[dict[str, dict[str, int]]] = {
    "x86_64": {
        "capset": 126,
        "clone": 56,
        "landlock_create_ruleset": 444,
        "landlock_restrict_self": 446,
        "seccomp": 317,
    },
    "aarch64": {
        "capset": 91,
        "clone": 220,
        "landlock_create_ruleset": 444,
        "landlock_restrict_self": 446,
        "seccomp": 277,
    },
}

PR_SET_PDEATHSIG: Final = 1
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_THP_DISABLE: Final = 41

_CAPABILITY_VERSION_3: Final = 0x20080522
_LAST_CAPABILITY: Final = 63

_SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_NEW_LISTENER: Final = 1 << 3
# Once its question is heard, only a fatal signal interrupts the asking process (Linux 5.19).
SECCOMP_WAIT_KILLABLE: Final = 1 << 5
# A fork whose question was interrupted by a signal is asked again; so often at most.
_FORK_ATTEMPTS: Final = 3

_LANDLOCK_CREATE_RULESET_VERSION: Final = 1
# By Landlock ABI version: how many file-system rights, network rights and scopes it knows. Each
# right is one bit, in order, so the set of all of them is a mask of ones.
_LANDLOCK_RIGHTS: Final = (
    (1, 13, 0, 0),
    (2, 14, 0, 0),
    (3, 15, 0, 0),
    (4, 15, 2, 0),
    (5, 16, 2, 0),
    (6, 16, 2, 2),
)


class Unsupported(RuntimeError):  # noqa: N818 - what the platform is, not what went wrong
    """This machine or kernel lacks something that the sandbox cannot do without."""


def machine() -> str:
    """`x86_64` or `aarch64`; Unsupported elsewhere."""
    name = platform.machine()
    if name not in _NUMBERS:
        raise Unsupported(
            f"the sandbox knows the system calls of {', '.join(_NUMBERS)}, not of {name}"
        )
    return name


def _check(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def _syscall(name: str, *arguments: object) -> int:
    return _check(int(_LIBC.syscall(_NUMBERS[machine()][name], *arguments)), name)


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument; OSError where the kernel refuses."""
    word = ctypes.c_ulong
    _check(_LIBC.prctl(option, word(value), word(0), word(0), word(0)), f"prctl({option})")


# Made once: what a call makes of its arguments is what a fresh process pays most for.
_DIE_WITH_PARENT: Final = (
    PR_SET_PDEATHSIG,
    *map(ctypes.c_ulong, (signal.SIGKILL, 0, 0, 0)),
)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent's thread dies; it cannot refuse."""
    _LIBC_WITH_GIL.prctl(*_DIE_WITH_PARENT)


def drop_capabilities() -> None:
    """Give up every capability, for good and for all children (with no_new_privs)."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    class Data(ctypes.Structure):
        _fields_ = (
            ("effective", ctypes.c_uint32),
            ("permitted", ctypes.c_uint32),
            ("inheritable", ctypes.c_uint32),
        )

    for capability in range(_LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            # EINVAL past the kernel's last one; EPERM for who has none to drop.
            break
    header = Header(_CAPABILITY_VERSION_3, 0)
    _syscall("capset", ctypes.byref(header), ctypes.byref((Data * 2)()))


def landlock_version() -> int:
    """The kernel's Landlock ABI version, 0 where there is none."""
    try:
        return _syscall(
            "landlock_create_ruleset", None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION
        )
    except OSError:
        return 0


def landlock_deny_all(version: int) -> None:
    """Take away every file-system, network and scope right that ABI `version` knows."""
    _, files, network, scopes = [row for row in _LANDLOCK_RIGHTS if row[0] <= version][-1]

    class Ruleset(ctypes.Structure):
        _fields_ = (
            ("handled_access_fs", ctypes.c_uint64),
            ("handled_access_net", ctypes.c_uint64),
            ("scoped", ctypes.c_uint64),
        )

    ruleset = Ruleset((1 << files) - 1, (1 << network) - 1, (1 << scopes) - 1)
    # An older kernel refuses a structure longer than the one it knows only if the rest is not zero.
    size = ctypes.c_size_t(ctypes.sizeof(ruleset))
    descriptor = _syscall("landlock_create_ruleset", ctypes.byref(ruleset), size, 0)
    try:
        _syscall("landlock_restrict_self", descriptor, 0)
    finally:
        os.close(descriptor)


def seccomp_install(program: bytes, flags: int = 0) -> int:
    """Put a seccomp filter (an array of `struct sock_filter`) on this thread and all it forks.

    Returns the listener's descriptor where `flags` asks for one, else 0. Needs no_new_privs.
    """

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    buffer = ctypes.create_string_buffer(program, len(program))
    pointer = Program(len(program) // 8, ctypes.addressof(buffer))
    return _syscall("seccomp", _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(pointer))


def fork_sibling(flags: int) -> Callable[[], int]:
    """A function that forks with exactly these clone flags; it returns as os.fork does.

    os.fork leaves the flags to the C library and makes the new process a child of the caller;
    with CLONE_PARENT it is the caller's sibling, so that the zygote, and not untrusted code, is
    the parent that learns of its end. What the C library and Python do besides, in os.fork, is
    about threads and the locks that other threads may hold. There are none, and leaving it out
    spares the child 200 page faults, a third of what a short step costs. Only Python's `random`
    is not seeded anew, which its user must see to.
    """
    clone = _LIBC_WITH_GIL.syscall
    number = _NUMBERS[machine()]["clone"]
    null = ctypes.c_ulong(0)
    word = ctypes.c_ulong(flags)

    def fork() -> int:
        failure = 0
        for _ in range(_FORK_ATTEMPTS):
            pid = int(clone(number, word, null, null, null, null))
            if pid >= 0:
                return pid
            failure = ctypes.get_errno()
            if failure != errno.EINTR:
                break
        raise OSError(failure, f"clone: {os.strerror(failure)}")

    return fork


def collect_group(group: int) -> bool:
    """Collect a process group's ended children; returns whether no child of ours is left in it."""
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False
