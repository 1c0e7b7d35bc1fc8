"""Start a program as a container or an unprivileged user would: `run_as.py WHO PROGRAM ...`.

WHO is "user" (an unprivileged user id), "container" (root with no capability, under a container
runtime's default system call filter) or "gvisor" (under a kernel that, as gVisor's, asks nobody
about forks and has no Landlock). Needs root.
"""

import ctypes
import errno
import os
import resource
import sys

from services.sandbox import bpf, linux
from services.sandbox.bpf import Argument, Rule
from tests.support.container_profile import container_filter

NOBODY = 65534
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522


def can_become() -> bool:
    """Whether this process may become either of them."""
    return os.geteuid() == 0


def become_user() -> None:
    """Be an unprivileged user, who may still read the interpreter where root alone can."""
    linux.prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    reads = 1 << CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(reads, reads, reads, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, data) or libc.prctl(
        PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, ctypes.c_ulong(CAP_DAC_READ_SEARCH), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "cannot keep the capability to read files")


def enter_container() -> None:
    """Be root in name only, under the filter of a container runtime."""
    linux.seccomp_install(container_filter(linux.machine()))
    linux.drop_capabilities()


def lose_features() -> None:
    """Have the kernel refuse what gVisor's does not know.

    Filters that ask, Landlock, descriptors of processes, a limit of message queues.
    """
    asks = Argument(1, (linux.SECCOMP_NEW_LISTENER,), mask=linux.SECCOMP_NEW_LISTENER)
    queues = Argument(1, (resource.RLIMIT_MSGQUEUE,))
    known = (
        Rule("seccomp", {"x86_64": 317, "aarch64": 277}, bpf.fail(errno.EINVAL), (asks,)),
        Rule("landlock_create_ruleset", {"x86_64": 444, "aarch64": 444}, bpf.fail(errno.ENOSYS)),
        Rule("pidfd_open", {"x86_64": 434, "aarch64": 434}, bpf.fail(errno.ENOSYS)),
        Rule("prlimit64", {"x86_64": 302, "aarch64": 261}, bpf.fail(errno.EPERM), (queues,)),
    )
    linux.seccomp_install(
        bpf.assemble(known, linux.machine(), default=bpf.ALLOW, foreign=bpf.ALLOW)
    )


if __name__ == "__main__":
    {"user": become_user, "container": enter_container, "gvisor": lose_features}[sys.argv[1]]()
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is the point
