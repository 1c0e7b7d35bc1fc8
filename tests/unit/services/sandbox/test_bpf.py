"""The filters, run by a small BPF interpreter as the kernel would run them."""

import errno
import signal
import struct

import pytest

from services.sandbox import bpf, syscalls
from services.sandbox.bpf import Argument, Rule

LOAD, AND, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06


def answer(program: bytes, machine: str, number: int, *arguments: int, arch: int = 0) -> int:
    """What the kernel does with a call under this filter."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    arch = arch or bpf.ARCHITECTURES[machine]
    data = struct.pack("<iIQ6Q", number, arch, 0, *words)
    accumulator, position = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, 8 * position)
        position += 1
        if code == LOAD:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == AND:
            accumulator &= value
        elif code == JUMP_EQUAL:
            position += if_true if accumulator == value else if_false
        elif code == JUMP_AT_LEAST:
            position += if_true if accumulator >= value else if_false
        else:
            assert code == RETURN
            return value


def test_a_rule_answers_its_call_and_the_default_every_other():
    program = bpf.assemble([Rule("a", {"x86_64": 7})], "x86_64", default=bpf.fail())
    assert answer(program, "x86_64", 7) == bpf.ALLOW
    assert answer(program, "x86_64", 8) == bpf.fail(errno.EPERM)


def test_a_call_of_another_machine_is_not_named():
    program = bpf.assemble([Rule("a", {"x86_64": 7})], "aarch64", default=bpf.fail())
    assert answer(program, "aarch64", 7) == bpf.fail()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_foreign_architecture_is_killed(machine):
    program = syscalls.step_filter(machine, forks=True)
    assert answer(program, machine, 0, arch=0x40000003) == bpf.KILL


def test_x32_numbers_are_killed():
    program = syscalls.step_filter("x86_64", forks=True)
    assert answer(program, "x86_64", 0x40000000 | 39) == bpf.KILL
    assert answer(program, "x86_64", -1 & 0x7FFFFFFF) == bpf.KILL


@pytest.mark.parametrize(
    ("value", "allowed"),
    [(3, True), (5, True), (4, False), (3 | 1 << 40, False), (1 << 32, False), (0, False)],
)
def test_an_argument_must_be_one_of_its_values_in_all_64_bits(value, allowed):
    rule = Rule("a", {"x86_64": 7}, when=(Argument(2, (3, 5)),))
    program = bpf.assemble([rule, Rule("b", {"x86_64": 8})], "x86_64", default=bpf.fail())
    assert (answer(program, "x86_64", 7, 9, 9, value) == bpf.ALLOW) is allowed
    assert answer(program, "x86_64", 8, 9, 9, value) == bpf.ALLOW


def test_all_tests_of_a_rule_must_hold():
    rule = Rule("a", {"x86_64": 7}, when=(Argument(0, (1,)), Argument(5, (2, 3))))
    program = bpf.assemble([rule], "x86_64", default=bpf.fail())
    outcomes = {
        (a, b): answer(program, "x86_64", 7, a, 0, 0, 0, 0, b) for a in (1, 2) for b in (1, 3)
    }
    assert [pair for pair, code in outcomes.items() if code == bpf.ALLOW] == [(1, 3)]


def test_values_of_64_bits_are_compared_whole():
    big = 0x1234_5678_9ABC_DEF0
    rule = Rule("a", {"x86_64": 7}, when=(Argument(0, (big,)),))
    program = bpf.assemble([rule], "x86_64", default=bpf.fail())
    assert answer(program, "x86_64", 7, big) == bpf.ALLOW
    assert answer(program, "x86_64", 7, big & 0xFFFFFFFF) == bpf.fail()


MMAP = {"x86_64": 9, "aarch64": 222}
CLONE = {"x86_64": 56, "aarch64": 220}
OPENAT = {"x86_64": 257, "aarch64": 56}
PRCTL = {"x86_64": 157, "aarch64": 167}
FUTEX = {"x86_64": 202, "aarch64": 98}
PRLIMIT = {"x86_64": 302, "aarch64": 261}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
class TestStepFilter:
    @pytest.mark.parametrize("forks", [True, False])
    def test_memory_can_be_had_but_never_made_executable(self, machine, forks):
        program = syscalls.step_filter(machine, forks=forks)
        assert answer(program, machine, MMAP[machine], 0, 4096, 3) == bpf.ALLOW
        assert answer(program, machine, MMAP[machine], 0, 4096, 7) == bpf.fail()

    def test_only_the_exact_fork_passes_and_only_where_forks_are_granted(self, machine):
        tree, replay = (syscalls.step_filter(machine, forks=forks) for forks in (True, False))
        number = CLONE[machine]
        assert answer(tree, machine, number, syscalls.FORK_FLAGS) == bpf.ALLOW
        assert answer(replay, machine, number, syscalls.FORK_FLAGS) == bpf.fail()
        thread = 0x3D0F00
        others = (signal.SIGCHLD, thread, syscalls.FORK_FLAGS | 0x10000000, 0x8000)
        for flags in others:
            assert answer(tree, machine, number, flags) == bpf.fail(), hex(flags)
        assert answer(tree, machine, number, syscalls.FORK_FLAGS, 0x7FFF0000) == bpf.fail()

    def test_there_are_no_files(self, machine):
        program = syscalls.step_filter(machine, forks=True)
        assert answer(program, machine, OPENAT[machine]) == bpf.fail(errno.ENOENT)

    def test_the_only_prctl_is_to_die_with_the_parent(self, machine):
        program = syscalls.step_filter(machine, forks=True)
        assert answer(program, machine, PRCTL[machine], 1, signal.SIGKILL) == bpf.ALLOW
        for option, value in ((1, 0), (38, 1), (22, 0), (4, 0)):
            assert answer(program, machine, PRCTL[machine], option, value) == bpf.fail()

    def test_locks_wait_and_wake_and_nothing_else(self, machine):
        program = syscalls.step_filter(machine, forks=True)
        assert answer(program, machine, FUTEX[machine], 0, 128 | 9) == bpf.ALLOW
        assert answer(program, machine, FUTEX[machine], 0, 6) == bpf.fail()

    def test_limits_are_read_not_set_and_only_one_s_own(self, machine):
        program = syscalls.step_filter(machine, forks=True)
        assert answer(program, machine, PRLIMIT[machine], 0, 9, 0, 1) == bpf.ALLOW
        assert answer(program, machine, PRLIMIT[machine], 0, 9, 1, 0) == bpf.fail()
        assert answer(program, machine, PRLIMIT[machine], 1, 9, 0, 1) == bpf.fail()

    def test_the_filter_fits_the_kernel_and_ends_every_path(self, machine):
        program = syscalls.step_filter(machine, forks=True)
        assert len(program) // 8 < 4096
        for number in range(600):
            answer(program, machine, number)


def test_the_list_stays_reviewable():
    assert len(syscalls.STEP) < 70
    names = [rule.name for rule in syscalls.STEP]
    assert len(names) == len(set(names))
    for machine in bpf.ARCHITECTURES:
        numbers = [rule.numbers[machine] for rule in syscalls.STEP if machine in rule.numbers]
        assert len(numbers) == len(set(numbers)), machine
