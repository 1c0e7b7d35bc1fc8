"""Messages between the warden and the processes that it owns.

Each is one packet of a SOCK_SEQPACKET pair: fixed-size fields, then UTF-8 text. What a step's
process sends is untrusted: decode_result accepts any bytes and either returns a Result whose
parts are within their limits or raises Malformed. Standard library only, pure.
"""

import enum
import struct
from typing import Final, NamedTuple

MAX_TYPE_CHARACTERS: Final = 200
MAX_MESSAGE_CHARACTERS: Final = 2000
# A packet must fit the socket's send buffer, whose usual limit is 208 KiB.
MAX_TEXT_BYTES: Final = 128 * 1024
MAX_PACKET_BYTES: Final = 160 * 1024


class Malformed(ValueError):  # noqa: N818
    """A packet that no honest sender writes."""


class Ending(enum.IntEnum):
    """How a step ended, as its own process tells it."""

    OK = 1
    ERROR = 2
    OUT_OF_MEMORY = 3
    OUTPUT_LIMIT = 4
    NEEDS_FULL = 5  # it was given up in a light interpreter, for a full one to run


class Command(enum.IntEnum):
    """What the warden asks of a step's process."""

    RUN = 1
    FORK = 2


class Run(NamedTuple):
    """Run one step.

    Attributes:
        code: Python source, up to MAX_TEXT_BYTES of UTF-8.
        seed: of all random number generators, 64 bits.
        output_bytes: captured output beyond this is dropped.
    """

    code: str
    seed: int
    output_bytes: int


class Result(NamedTuple):
    """What a step's process says of its step.

    Attributes:
        ending: how it ended.
        output: captured output, cut.
        truncated: whether it was cut.
        error_type: class name of the exception, empty where there is none.
        message: of the exception.
        line: of the step's code, from 1; 0 where there is none.
    """

    ending: Ending
    output: str = ""
    truncated: bool = False
    error_type: str = ""
    message: str = ""
    line: int = 0


_COMMAND: Final = struct.Struct("!BQI")
_HELLO: Final = struct.Struct("!i")
_RESULT: Final = struct.Struct("!B?IIII")


def encode_run(run: Run) -> bytes:
    """The packet that asks for a step."""
    return _COMMAND.pack(Command.RUN, run.seed, run.output_bytes) + run.code.encode()


def encode_fork() -> bytes:
    """The packet that asks for a fork; the child's channel travels with it."""
    return _COMMAND.pack(Command.FORK, 0, 0)


def encode_hello(error: int) -> bytes:
    """A forked process's first packet (0), or an errno from a process that could not fork."""
    return _HELLO.pack(error)


def decode_hello(packet: bytes) -> int:
    """Read what encode_hello wrote; Malformed where it is something else."""
    try:
        error: int
        (error,) = _HELLO.unpack(packet)
    except struct.error as unreadable:
        raise Malformed(str(unreadable)) from unreadable
    return error


def decode_command(packet: bytes) -> Run | None:
    """A Run, or None for a fork. The warden is trusted; only a bug makes this raise."""
    kind, seed, output_bytes = _COMMAND.unpack_from(packet)
    if kind == Command.FORK:
        return None
    return Run(packet[_COMMAND.size :].decode(), seed, output_bytes)


def encode_result(result: Result) -> bytes:
    """The packet of a result. Lone surrogates in its texts become question marks."""
    error_type = result.error_type[:MAX_TYPE_CHARACTERS].encode(errors="replace")
    message = result.message[:MAX_MESSAGE_CHARACTERS].encode(errors="replace")
    output = result.output.encode(errors="replace")
    lengths = (len(error_type), len(message), len(output))
    head = _RESULT.pack(result.ending, result.truncated, result.line, *lengths)
    return b"".join((head, error_type, message, output))


def decode_result(packet: bytes, output_bytes: int) -> Result:
    """Read a result; Malformed where it is not one. Output over `output_bytes` is cut again."""
    try:
        ending, truncated, line, *lengths = _RESULT.unpack_from(packet)
        ending = Ending(ending)
    except (struct.error, ValueError) as error:
        raise Malformed(str(error)) from error
    if _RESULT.size + sum(lengths) != len(packet):
        raise Malformed("the lengths of its parts do not add up")
    texts = []
    start = _RESULT.size
    for length in lengths:
        texts.append(packet[start : start + length])
        start += length
    error_type, message, output = texts
    return Result(
        ending,
        output[:output_bytes].decode(errors="ignore"),
        truncated or len(output) > output_bytes,
        error_type.decode(errors="replace")[:MAX_TYPE_CHARACTERS],
        message.decode(errors="replace")[:MAX_MESSAGE_CHARACTERS],
        line,
    )
