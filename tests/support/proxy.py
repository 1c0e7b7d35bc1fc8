"""A proxy of byte streams that cuts connections when it is told to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

Address = Path | tuple[str, int]


class Proxy:
    """Stands before a server, on a Unix socket or a port of this machine.

    Attributes:
        cuts: connections that were cut so far.
        lost_replies: how many of the next replies are to be lost, each with its connection, after
            the server has done what it was asked.
    """

    def __init__(self, at: Address, server: Address) -> None:
        self._at = at
        self._server = server
        self._open: set[asyncio.StreamWriter] = set()
        self.cuts = 0
        self.lost_replies = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Proxy"]:
        """Pass everything on."""
        if isinstance(self._at, Path):
            listening = await asyncio.start_unix_server(self._serve, self._at)
        else:
            listening = await asyncio.start_server(self._serve, *self._at)
        try:
            yield self
        finally:
            listening.close()
            self.cut()

    def cut(self) -> None:
        """Cut every connection, in the middle of whatever is being said."""
        for writer in self._open:
            writer.transport.abort()
            self.cuts += 1
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._server, Path):
                there = await asyncio.open_unix_connection(self._server)
            else:
                there = await asyncio.open_connection(*self._server)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, there[1]}
        try:
            requests = asyncio.create_task(_pump(reader, there[1]))
            replies = asyncio.create_task(self._pump_replies(there[0], writer))
            await asyncio.wait({requests, replies}, return_when=asyncio.FIRST_COMPLETED)
            for task in (requests, replies):
                task.cancel()
        finally:
            for each in (writer, there[1]):
                each.transport.abort()
                self._open.discard(each)

    async def _pump_replies(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if self.lost_replies:
                    self.lost_replies -= 1
                    self.cuts += 1
                    return
                writer.write(data)
                await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
