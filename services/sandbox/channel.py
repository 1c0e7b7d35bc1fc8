"""The warden's end of a SOCK_SEQPACKET pair, awaited on the event loop."""

import asyncio
import os
import socket
import struct
from typing import Final

# struct ucred {pid_t pid; uid_t uid; gid_t gid}
_CREDENTIALS: Final = struct.Struct("=iII")
_DESCRIPTOR: Final = struct.Struct("=i")


class Closed(ConnectionError):  # noqa: N818 - a state, not a fault
    """The other end is gone."""


class Channel:
    """Sends and receives packets without blocking; one receiver at a time.

    Args:
        ours: a non-blocking socket, closed by `close`.
    """

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        # The loop finds readers by number faster than by object.
        self._number = ours.fileno()
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    def pair(cls) -> "tuple[Channel, socket.socket]":
        """A channel that knows its senders, and the socket to give to a process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        return cls(ours), theirs

    def send(self, packet: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send at once; Closed where the other end is gone or does not read."""
        try:
            socket.send_fds(self._socket, [packet], descriptors)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            raise Closed(str(error)) from error

    async def receive(self, limit: int) -> tuple[bytes, int]:
        """The next packet, cut to `limit` bytes, and the pid of its sender, as the kernel knows it.

        Closed at the end of the stream. Descriptors that come along are closed.
        """
        packet, sender, descriptors = await self._receive(limit, 0)
        _close(descriptors)
        return packet, sender

    async def receive_with_descriptors(self, limit: int) -> tuple[bytes, list[int]]:
        """As `receive`, from a trusted sender: keeps the descriptors."""
        packet, _, descriptors = await self._receive(limit, 1)
        return packet, descriptors

    async def _receive(self, limit: int, descriptors: int) -> tuple[bytes, int, list[int]]:
        room = socket.CMSG_SPACE(_CREDENTIALS.size)
        if descriptors:
            room += socket.CMSG_SPACE(descriptors * _DESCRIPTOR.size)
        packet, ancillary = await self._next(limit, room)
        if not packet:
            raise Closed("the other end is closed")
        sender, received = _read_ancillary(ancillary)
        return packet, sender, received

    async def _next(self, limit: int, room: int) -> tuple[bytes, list[tuple[int, int, bytes]]]:
        while True:
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(limit, room)
            except BlockingIOError:
                await self._readable()
            except OSError as error:
                raise Closed(str(error)) from error
            else:
                return packet, ancillary

    async def _readable(self) -> None:
        if self._ended:
            raise Closed("nothing more comes")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_reader(self._number, _resolve, self._waiter)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if self._socket.fileno() >= 0:
                loop.remove_reader(self._number)

    def end(self) -> None:
        """Say that the other end sends no more: who receives gets what has come, then Closed."""
        self._ended = True
        if self._waiter is not None:
            _resolve(self._waiter)

    def close(self) -> None:
        """Close our end; who still waits for a packet gets Closed."""
        self.end()
        if self._waiter is not None:
            asyncio.get_running_loop().remove_reader(self._number)
        self._socket.close()


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


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
