"""The attacks' container must be one: no capability, and the runtimes' filter in force."""

import json
import subprocess
import sys

import pytest

from services.sandbox import linux
from tests.support.container_profile import allowed
from tests.support.run_as import can_become
from tests.support.system_calls import numbers

PROGRAM = """
import ctypes, errno, json, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def errors(numbers):
    for name, number in numbers.items():
        result = libc.syscall(number, *[ctypes.c_ulong(2**64 - 1)] * 6)
        yield name, ctypes.get_errno() if result < 0 else 0
def family(number):
    try:
        socket.socket(number, socket.SOCK_SEQPACKET if number == 38 else socket.SOCK_STREAM).close()
    except OSError as error:
        return error.errno
    return 0
threading.Thread(target=int).start()
status = open("/proc/self/status").read()
print(json.dumps({
    "refused": dict(errors(json.loads(sys.argv[1]))),
    "families": {number: family(number) for number in (socket.AF_UNIX, 38, 40)},
    "capabilities": [line.split()[1] for line in status.splitlines() if line.startswith("Cap")],
}))
"""
REFUSED = ("unshare", "mount", "bpf", "io_uring_setup", "userfaultfd", "perf_event_open", "keyctl")


@pytest.mark.skipif(not can_become(), reason="only root can become somebody else")
def test_the_container_has_no_capability_and_refuses_what_the_profile_does_not_name():
    known = numbers(linux.machine())
    asked = {name: known[name] for name in REFUSED}
    command = [sys.executable, "-m", "tests.support.run_as", "container"]
    done = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM, json.dumps(asked)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
    )
    found = json.loads(done.stdout)
    assert found["refused"] == dict.fromkeys(REFUSED, 1)
    assert found["families"] == {"1": 0, "38": 1, "40": 1}
    # Of the inheritable, permitted, effective, bounding and ambient sets.
    assert {int(mask, 16) for mask in found["capabilities"]} == {0}


def test_the_profile_allows_what_the_sandbox_needs_on_either_machine():
    for machine in ("x86_64", "aarch64"):
        assert {"seccomp", "landlock_restrict_self", "pidfd_open", "prctl"} <= set(allowed(machine))
        assert not set(REFUSED) & set(allowed(machine))
