"""A TCP proxy that can hold back large replies: a download is then under way for as long as asked.

It lives in threads, since both the test and the servers that it starts go through it.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator

_CHUNK = 64 * 1024


class StallingProxy:
    """Passes all bytes on, until told to stall.

    Attributes:
        port: where it listens.
        stalled: set once a reply is held back.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.stalled = threading.Event()
        self._limit: int | None = None
        self._free = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self, after: int) -> None:
        """Hold back every connection that has replied more than `after` bytes from now on."""
        self.stalled.clear()
        self._free.clear()
        self._limit = after

    def release(self) -> None:
        """Let everything pass again."""
        self._limit = None
        self._free.set()

    def close(self) -> None:
        """Take no more connections."""
        self.release()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, sink, held in ((caller, server, False), (server, caller, True)):
                    arguments = (source, sink, held)
                    threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, held: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):  # one end was killed, as tests do
            while chunk := source.recv(_CHUNK):
                limit = self._limit
                passed = passed + len(chunk) if limit is not None else 0
                if held and limit is not None and passed > limit:
                    self.stalled.set()
                    self._free.wait()
                sink.sendall(chunk)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def stalling_proxy(target: tuple[str, int]) -> Iterator[StallingProxy]:
    """A proxy before a server."""
    proxy = StallingProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
