"""The warden's end of a SOCK_SEQPACKET pair, awaited on the event loop."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

from services.sandbox.wire import MAX_PACKET_BYTES

# struct ucred {pid_t pid; uid_t uid; gid_t gid}
_CREDENTIALS: Final = struct.Struct("=iII")
_DESCRIPTOR: Final = struct.Struct("=i")
_CREDENTIALS_ROOM: Final = socket.CMSG_SPACE(_CREDENTIALS.size)
_DESCRIPTOR_ROOM: Final = socket.CMSG_SPACE(_DESCRIPTOR.size)
# What every packet is read into: nothing awaits between its being filled and copied.
_BUFFER: Final = memoryview(bytearray(MAX_PACKET_BYTES))

_Received = tuple[bytes, list[tuple[int, int, bytes]]]


class Closed(ConnectionError):  # noqa: N818 - a state, not a fault
    """The other end is gone."""


class Channel:
    """Sends and receives packets without blocking; one receiver at a time.

    The loop watches our end from the first wait on, or from `watch`, until `unwatch`, or the other
    end is gone or says something that nobody waits for, which is left unread until somebody does. A
    receiver that is cancelled takes no packet along.

    Args:
        ours: a non-blocking socket, closed by `close`.
    """

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._loop = asyncio.get_running_loop()
        # The loop finds readers by number faster than by object.
        self._number = ours.fileno()
        self._watched = False
        self._ended = False
        self._room = 0
        self._waiter: asyncio.Future[_Received] | None = None
        self._unheard: _Received | None = None
        self._on_unwatched: Callable[[], None] | None = None

    @classmethod
    def pair(cls) -> "tuple[Channel, socket.socket]":
        """A channel that knows its senders, and the socket to give to a process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        return cls(ours), theirs

    def watch(self, on_unwatched: Callable[[], None]) -> None:
        """Watch our end from now on, and call where that ends."""
        self._on_unwatched = on_unwatched
        self._watch()

    def send(self, packet: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send at once; Closed where the other end is gone or does not read."""
        try:
            if descriptors:
                socket.send_fds(self._socket, [packet], descriptors)
            else:
                self._socket.send(packet)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            raise Closed(str(error)) from error

    async def receive(self, deadline: float | None = None) -> tuple[bytes, int]:
        """The next packet, and the pid of its sender, as the kernel knows it.

        What is over MAX_PACKET_BYTES is cut. Closed at the end of the stream. Descriptors that come
        along are closed. TimeoutError at the deadline, a time of the loop's.
        """
        packet, sender, descriptors = await self._receive(_CREDENTIALS_ROOM, deadline)
        _close(descriptors)
        return packet, sender

    async def receive_with_descriptors(self) -> tuple[bytes, list[int]]:
        """As `receive`, from a trusted sender: keeps the descriptor."""
        packet, _, descriptors = await self._receive(_CREDENTIALS_ROOM + _DESCRIPTOR_ROOM)
        return packet, descriptors

    async def _receive(
        self, room: int, deadline: float | None = None
    ) -> tuple[bytes, int, list[int]]:
        received, self._unheard = self._unheard or self._read(room), None
        if received is None:
            received = await self._wait(room, deadline)
        packet, ancillary = received
        if not packet:
            raise Closed("the other end is closed")
        sender, descriptors = _read_ancillary(ancillary)
        return packet, sender, descriptors

    def _read(self, room: int) -> _Received | None:
        """A packet, empty where none will come any more, or None where none is there."""
        try:
            size, ancillary, _, _ = self._socket.recvmsg_into([_BUFFER], room)
        except BlockingIOError:
            return (b"", []) if self._ended else None
        except OSError:
            return b"", []
        return bytes(_BUFFER[:size]), ancillary

    async def _wait(self, room: int, deadline: float | None) -> _Received:
        self._room = room
        waiter: asyncio.Future[_Received] = self._loop.create_future()
        self._waiter = waiter
        self._watch()
        # A timer for the future alone costs a fraction of asyncio.timeout, which is for tasks.
        timer = None if deadline is None else self._loop.call_at(deadline, _time_out, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Cancelled when the packet was here already.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._unheard = waiter.result()
            raise
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._loop.add_reader(self._number, self._readable)

    def _readable(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            # It says something unasked, or nothing ever again.
            self.unwatch()
            return
        received = self._read(self._room)
        if received is not None:
            waiter.set_result(received)
            if not received[0]:
                self.end()

    def unwatch(self) -> None:
        """Watch our end no more."""
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._number)
            if self._on_unwatched is not None:
                self._on_unwatched()

    def end(self) -> None:
        """Note that the other end sends no more: who receives gets what has come, then Closed."""
        self._ended = True
        self.unwatch()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._read(self._room) or (b"", []))

    def close(self) -> None:
        """Close our end; who still waits for a packet gets Closed."""
        self._on_unwatched = None
        self.end()
        self._socket.close()


def _time_out(waiter: asyncio.Future[_Received]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def _read_ancillary(ancillary: "list[tuple[int, int, bytes]]") -> tuple[int, list[int]]:
    sender, descriptors = 0, []
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS:
            sender, _, _ = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])
        elif kind == socket.SCM_RIGHTS:
            whole = len(data) - len(data) % _DESCRIPTOR.size
            descriptors += [number for (number,) in _DESCRIPTOR.iter_unpack(data[:whole])]
    return sender, descriptors


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
