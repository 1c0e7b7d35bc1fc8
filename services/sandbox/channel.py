"""The warden's end of a SOCK_SEQPACKET pair, awaited on the event loop."""

import asyncio
import socket


class Closed(ConnectionError):  # noqa: N818
    """The other end is gone."""


class Channel:
    """Sends and receives packets without blocking; one receiver at a time.

    Args:
        ours: a non-blocking socket, closed by `close`.
    """

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours

    @classmethod
    def pair(cls) -> "tuple[Channel, socket.socket]":
        """A channel and the socket to give to a process at the other end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        return cls(ours), theirs

    def send(self, packet: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send at once; Closed where the other end is gone or does not read."""
        try:
            socket.send_fds(self._socket, [packet], descriptors)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            raise Closed(str(error)) from error

    async def receive(self, limit: int) -> bytes:
        """The next packet, cut to `limit` bytes; Closed at the end of the stream.

        Descriptors that come with a packet are never accepted.
        """
        loop = asyncio.get_running_loop()
        try:
            packet = await loop.sock_recv(self._socket, limit)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Closed(str(error)) from error
        if not packet:
            raise Closed("the other end is closed")
        return packet

    def close(self) -> None:
        """Close our end."""
        self._socket.close()
