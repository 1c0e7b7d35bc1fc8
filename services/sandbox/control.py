"""Messages between the warden and the zygote: both trusted, one SOCK_SEQPACKET pair.

Requests are answered in their order. Standard library only.
"""

import enum
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final


class Request(enum.IntEnum):
    """What the warden asks of the zygote."""

    SPAWN = 1  # make a process around the channel that comes with the packet; answers its pid
    REAP = 2  # collect processes, which have ended; answers their wait statuses in that order


MAX_PACKET_BYTES: Final = 16 * 1024
# Processes that one request may name.
MAX_PIDS: Final = 64
_REQUEST: Final = struct.Struct("!B")
_NUMBER: Final = struct.Struct("!i")


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


def encode_request(request: Request, pids: Sequence[int] = ()) -> bytes:
    """A request; up to MAX_PIDS `pids` are used by REAP."""
    return _REQUEST.pack(request) + _encode(pids)


def decode_request(packet: bytes) -> tuple[Request, list[int]]:
    """Read what encode_request wrote."""
    (kind,) = _REQUEST.unpack_from(packet)
    return Request(kind), _decode(packet[_REQUEST.size :])


def encode_answer(values: Sequence[int]) -> bytes:
    """A pid or wait statuses; a negative errno where SPAWN failed."""
    return _encode(values)


def decode_answer(packet: bytes) -> list[int]:
    """Read what encode_answer wrote."""
    return _decode(packet)


def _encode(numbers: Sequence[int]) -> bytes:
    return b"".join(map(_NUMBER.pack, numbers))


def _decode(data: bytes) -> list[int]:
    return [number for (number,) in _NUMBER.iter_unpack(data)]
