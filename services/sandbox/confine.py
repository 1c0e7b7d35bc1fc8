"""Takes from a process, before it runs untrusted code, all that a step does not need.

Two parts: `process` once, in the zygote, whose children inherit it; `step` in each process that
then only runs steps. Standard library only.
"""

import contextlib
import os
import resource
from dataclasses import dataclass
from typing import Final

from services.sandbox import linux, syscalls
from services.sandbox.node import MAX_DESCRIPTORS

# The interpreter's own C stack; a deeper recursion ends in a segmentation fault of the step alone.
_STACK_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """Hard limits of every process.

    Attributes:
        memory_bytes: address space beyond what the zygote itself uses.
        cpu_seconds: processor time; a backstop for when nobody is left to enforce deadlines.
        forks: whether processes may fork when they are granted it, where the kernel can ask.
    """

    memory_bytes: int
    cpu_seconds: int
    forks: bool


def address_space_bytes() -> int:
    """Size of this process's address space."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - pathlib is not loaded here
        return int(statm.read().split()[0]) * resource.getpagesize()


def process(bounds: Bounds) -> tuple[list[str], int]:
    """Confine the zygote; returns the mechanisms in force and its address space in bytes."""
    baseline = address_space_bytes()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.drop_capabilities()
    mechanisms = ["no_new_privs", "no_capabilities"]
    version = linux.landlock_version()
    if version:
        linux.landlock_deny_all(version)
        mechanisms.append("landlock")
    _limit_resources(bounds, baseline)
    return [*mechanisms, "rlimits", "seccomp"], baseline


def _limit_resources(bounds: Bounds, baseline: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_NOFILE: MAX_DESCRIPTORS,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    # gVisor has no message queues and no such limit. The filter lets nobody make one anyway.
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES, _STACK_BYTES))
    ceiling = baseline + bounds.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))


def listen() -> int | None:
    """Send every clone of this process and its descendants to a listener; returns its descriptor.

    None where the kernel, or a listener that is there already, does not allow it.
    """
    program = syscalls.listener_filter(linux.machine())
    for flags in (linux.SECCOMP_WAIT_KILLABLE, 0):
        with contextlib.suppress(OSError):
            return linux.seccomp_install(program, linux.SECCOMP_NEW_LISTENER | flags)
    return None


def step(bounds: Bounds, *, forks: bool) -> None:
    """Confine a new process for good: its own process group, limits, and the system call filter.

    Args:
        bounds: the limits.
        forks: whether granted forks pass the filter.
    """
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.cpu_seconds, bounds.cpu_seconds))
    if not forks:
        # Has no effect on root, for whom the filter alone refuses forks.
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    linux.seccomp_install(syscalls.step_filter(linux.machine(), forks=forks))
