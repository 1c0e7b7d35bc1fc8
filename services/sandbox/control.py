"""Messages between the warden and the zygote: both trusted, one SOCK_SEQPACKET pair.

Requests are answered in their order. Standard library only.
"""

import enum
import json
import struct
from dataclasses import asdict, dataclass
from typing import Final


class Request(enum.IntEnum):
    """What the warden asks of the zygote."""

    SPAWN = 1  # make a process around the channel that comes with the packet; answers its pid
    REAP = 2  # collect the process `pid`, which has ended; answers its wait status


MAX_PACKET_BYTES: Final = 16 * 1024
_REQUEST: Final = struct.Struct("!Bi")
_ANSWER: Final = struct.Struct("!i")


@dataclass(frozen=True, slots=True)
class Ready:
    """The zygote's first message.

    Attributes:
        packages: version of each preloaded package, by import name.
        isolation: mechanisms in force.
        baseline_bytes: address space of the preloaded interpreter.
        listens: whether the descriptor of a fork listener comes along.
    """

    packages: dict[str, str]
    isolation: list[str]
    baseline_bytes: int
    listens: bool


def encode_ready(ready: Ready) -> bytes:
    """As JSON."""
    return json.dumps(asdict(ready)).encode()


def decode_ready(packet: bytes) -> Ready:
    """Read what encode_ready wrote."""
    return Ready(**json.loads(packet))


def encode_request(request: Request, pid: int = 0) -> bytes:
    """A request; `pid` is used by REAP."""
    return _REQUEST.pack(request, pid)


def decode_request(packet: bytes) -> tuple[Request, int]:
    """Read what encode_request wrote."""
    kind, pid = _REQUEST.unpack(packet)
    return Request(kind), pid


def encode_answer(value: int) -> bytes:
    """A pid or a wait status; a negative errno where the request failed."""
    return _ANSWER.pack(value)


def decode_answer(packet: bytes) -> int:
    """Read what encode_answer wrote."""
    value: int
    (value,) = _ANSWER.unpack(packet)
    return value
