"""A seccomp filter as a list of rules, and its translation to the kernel's BPF.

Why not libseccomp: its Python package only binds a system library that a user's machine may not
have, and the filter that is needed is a list with a few argument checks. Standard library only;
pure. See seccomp(2); `struct seccomp_data` is {int nr; u32 arch; u64 instruction_pointer; u64
args[6]}, and every field is read in halves of 32 bits, low half first (both machines are
little-endian).
"""

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# What a filter may answer, strongest first; of several filters the strongest answer counts.
KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000
NOTIFY: Final = 0x7FC00000
ALLOW: Final = 0x7FFF0000

# Values of seccomp_data.arch (linux/audit.h).
ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# On x86_64 the x32 ABI has the same arch and this bit set in the number.
_X32_BIT: Final = 0x40000000

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

_OFFSET_NUMBER: Final = 0
_OFFSET_ARCHITECTURE: Final = 4
_OFFSET_ARGUMENTS: Final = 16
_LOW: Final = 0xFFFFFFFF


def fail(number: int = errno.EPERM) -> int:
    """The answer that makes a call fail with this errno."""
    return _ERRNO | number


@dataclass(frozen=True, slots=True)
class Argument:
    """A test of one argument of a call: `argument & mask` is one of `values`.

    The mask is of 64 bits: with the default, high bits that are set fail the test.
    """

    index: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Rule:
    """What a filter answers to one system call.

    Attributes:
        name: the call, as in its manual page.
        numbers: its number by machine; a machine that lacks the call is left out.
        answer: given where every test of `when` holds.
        when: tests of arguments; a call that fails one gets the filter's default answer.
    """

    name: str
    numbers: dict[str, int]
    answer: int = ALLOW
    when: tuple[Argument, ...] = ()


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _argument_test(test: Argument, failed: int) -> list[bytes]:
    """Go on where the argument is one of the test's values, else return `failed`."""
    alternatives = [_equality(test, value) for value in test.values]
    program: list[bytes] = []
    for number, steps in enumerate(alternatives):
        # A match jumps over the alternatives that are left and over the failing return.
        left = sum(len(other) for other in alternatives[number + 1 :]) + 1
        for position, (code, value) in enumerate(steps):
            rest = len(steps) - position - 1
            if code == _JUMP_EQUAL:
                program.append(_instruction(code, value, 0 if rest else left, rest))
            else:
                program.append(_instruction(code, value))
    program.append(_instruction(_RETURN, failed))
    return program


def _equality(test: Argument, value: int) -> list[tuple[int, int]]:
    """Code and operand of the instructions that compare both halves with one value."""
    low = _OFFSET_ARGUMENTS + 8 * test.index
    steps: list[tuple[int, int]] = []
    for offset, shift in ((low + 4, 32), (low, 0)):
        mask = test.mask >> shift & _LOW
        if mask:
            steps.append((_LOAD, offset))
            steps.append((_AND, mask))
            steps.append((_JUMP_EQUAL, value >> shift & _LOW))
    return steps


def _rule_block(rule: Rule, number: int, default: int) -> list[bytes]:
    body = [step for test in rule.when for step in _argument_test(test, default)]
    body.append(_instruction(_RETURN, rule.answer))
    return [_instruction(_JUMP_EQUAL, number, 0, len(body)), *body]


def assemble(rules: Iterable[Rule], machine: str, default: int, foreign: int = KILL) -> bytes:
    """Translate rules for one machine into an array of `struct sock_filter`.

    Args:
        rules: tried in order.
        machine: a key of ARCHITECTURES.
        default: the answer to every call that no rule names.
        foreign: the answer to calls of another architecture's ABI (32-bit, x32).
    """
    program = [
        _instruction(_LOAD, _OFFSET_ARCHITECTURE),
        _instruction(_JUMP_EQUAL, ARCHITECTURES[machine], 1, 0),
        _instruction(_RETURN, foreign),
        _instruction(_LOAD, _OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        program += [
            _instruction(_JUMP_AT_LEAST, _X32_BIT, 0, 1),
            _instruction(_RETURN, foreign),
        ]
    for rule in rules:
        if machine in rule.numbers:
            program += _rule_block(rule, rule.numbers[machine], default)
    program.append(_instruction(_RETURN, default))
    return b"".join(program)
