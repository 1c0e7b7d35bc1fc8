"""What a step may ask of the kernel: the whole list, for review.

Everything that is not named here fails with EPERM, so that it surfaces in the step as a Python
exception. Calls of another ABI (32-bit, x32) kill the process: only an attack makes them.
Numbers: linux/arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

import errno
import functools
import signal
from typing import Final

from services.sandbox import bpf
from services.sandbox.bpf import Argument, Rule

CLONE_PARENT: Final = 0x8000
# The one kind of fork there is: a plain process, sibling of its maker.
FORK_FLAGS: Final = CLONE_PARENT | signal.SIGCHLD

_PROT_EXEC: Final = 0x4
_PR_SET_PDEATHSIG: Final = 1
_MADV_DONTNEED, _MADV_FREE, _MADV_HUGEPAGE = 4, 8, 14
_FUTEX_WAIT, _FUTEX_WAKE, _FUTEX_WAIT_BITSET, _FUTEX_WAKE_BITSET = 0, 1, 9, 10
_FUTEX_FLAGS: Final = 128 | 256  # private, clock


def _call(
    name: str, x86_64: int | None, aarch64: int | None, *when: Argument, answer: int = bpf.ALLOW
) -> Rule:
    numbers = {"x86_64": x86_64, "aarch64": aarch64}
    known = {machine: number for machine, number in numbers.items() if number is not None}
    return Rule(name, known, answer, when)


_no_file = functools.partial(_call, answer=bpf.fail(errno.ENOENT))
_not_executable: Final = Argument(2, (0,), mask=_PROT_EXEC)

# Memory: anything but code. mprotect and mmap with PROT_EXEC fail, so every C extension that a
# step can use is loaded beforehand.
MEMORY: Final = (
    _call("brk", 12, 214),
    _call("mmap", 9, 222, _not_executable),
    _call("mprotect", 10, 226, _not_executable),
    _call("munmap", 11, 215),
    _call("mremap", 25, 216),
    _call("madvise", 28, 233, Argument(2, (_MADV_DONTNEED, _MADV_FREE, _MADV_HUGEPAGE))),
)

# What the process does with its own channel (its only open socket) and with /dev/null.
DESCRIPTORS: Final = (
    _call("read", 0, 63),
    _call("write", 1, 64),
    _call("close", 3, 57),
    _call("sendto", 44, 206, Argument(4, (0,))),  # to the connected peer only
    _call("recvfrom", 45, 207),
    _call("recvmsg", 47, 212),
)

# Python's own signal handling, and its locks (which sleep on a futex).
SIGNALS_AND_LOCKS: Final = (
    _call("rt_sigaction", 13, 134),
    _call("rt_sigprocmask", 14, 135),
    _call("rt_sigreturn", 15, 139),
    _call("sigaltstack", 131, 132),
    _call("restart_syscall", 219, 128),
    _call(
        "futex",
        202,
        98,
        Argument(
            1,
            (_FUTEX_WAIT, _FUTEX_WAKE, _FUTEX_WAIT_BITSET, _FUTEX_WAKE_BITSET),
            mask=0xFFFFFFFF & ~_FUTEX_FLAGS,
        ),
    ),
    _call("sched_yield", 24, 124),
)

CLOCKS: Final = (
    _call("clock_gettime", 228, 113),
    _call("clock_getres", 229, 114),
    _call("clock_nanosleep", 230, 115),
    _call("nanosleep", 35, 101),
    _call("gettimeofday", 96, 169),
    _call("time", 201, None),
)

# Questions about the process itself.
SELF: Final = (
    _call("getpid", 39, 172),
    _call("gettid", 186, 178),
    _call("getppid", 110, 173),
    _call("getuid", 102, 174),
    _call("geteuid", 107, 175),
    _call("getgid", 104, 176),
    _call("getegid", 108, 177),
    _call("getrusage", 98, 165),
    _call("times", 100, 153),
    _call("prlimit64", 302, 261, Argument(0, (0,)), Argument(2, (0,))),  # to read, not to set
    _call("getrandom", 318, 278),
    _call("exit", 60, 93),
    _call("exit_group", 231, 94),
)

# There are no files. ENOENT, since that is what code that looks for optional ones expects.
FILES: Final = (
    _no_file("open", 2, None),
    _no_file("openat", 257, 56),
    _no_file("openat2", 437, 437),
    _no_file("stat", 4, None),
    _no_file("lstat", 6, None),
    _no_file("newfstatat", 262, 79),
    _no_file("statx", 332, 291),
    _no_file("access", 21, None),
    _no_file("faccessat", 269, 48),
    _no_file("faccessat2", 439, 439),
    _no_file("readlink", 89, None),
    _no_file("readlinkat", 267, 78),
    _no_file("getcwd", 79, 17),
)

# A process made by a granted fork asks to die with its parent, and for nothing else.
_LIFETIME: Final = (
    _call("prctl", 157, 167, Argument(0, (_PR_SET_PDEATHSIG,)), Argument(1, (signal.SIGKILL,))),
)

# The C library tries clone3 first and takes ENOSYS to mean an old kernel.
_FORK_REFUSED: Final = (_call("clone3", 435, 435, answer=bpf.fail(errno.ENOSYS)),)
_FORK_EXACT: Final = (_call("clone", 56, 220, Argument(0, (FORK_FLAGS,)), Argument(1, (0,))),)

STEP: Final = (
    *MEMORY,
    *DESCRIPTORS,
    *SIGNALS_AND_LOCKS,
    *CLOCKS,
    *SELF,
    *FILES,
    *_FORK_REFUSED,
    *_LIFETIME,
)


def listener_filter(machine: str) -> bytes:
    """The zygote's filter: asks its listener about every clone and minds nothing else."""
    clone = Rule("clone", _FORK_EXACT[0].numbers, bpf.NOTIFY)
    return bpf.assemble((clone,), machine, default=bpf.ALLOW, foreign=bpf.ALLOW)


def step_filter(machine: str, *, forks: bool) -> bytes:
    """The filter of every process that runs a step.

    Args:
        machine: "x86_64" or "aarch64".
        forks: whether clone passes this filter with FORK_FLAGS and no stack; another filter then
            asks the warden about each one.
    """
    rules = (*STEP, *_FORK_EXACT) if forks else STEP
    return bpf.assemble(rules, machine, default=bpf.fail())
