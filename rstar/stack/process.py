"""One child process under a keeper: started, read line by line, stopped with its descendants."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import STDOUT
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

KEEPER = Path(__file__).with_name("keeper.py")
MAX_LINE_BYTES = 16 * 1024
LAST_LINES = 12
KILL_SECONDS = 15.0
LAST_OUTPUT_SECONDS = 2.0


def describe_exit(code: int) -> str:
    """An exit in words; a negative code is a signal's number."""
    if code >= 0:
        return f"exited with code {code}"
    number = -code
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = "; perhaps the machine ran out of memory" if number == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


def session_members(session: int) -> list[int]:
    """Process ids of a session (setsid(2)), without those that are dead and merely not reaped."""
    members = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            # pid (name) state ppid pgrp session ...
            state, _, _, sid = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(sid) == session and state not in "ZX":
                members.append(int(folder.name))
    return members


class Lines:
    """Cuts bytes into text lines of bounded length; a line redrawn by \\r counts once."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that end in data."""
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-MAX_LINE_BYTES:]
        return [self._text(line) for line in whole]

    def flush(self) -> list[str]:
        """The unfinished last line, where there is one."""
        rest, self._rest = self._rest, b""
        return [self._text(rest)] if rest else []

    @staticmethod
    def _text(line: bytes) -> str:
        shown = line.rstrip(b"\r").rpartition(b"\r")[2]
        text = shown[:MAX_LINE_BYTES].decode(errors="replace")
        return text + " [cut]" if len(shown) > MAX_LINE_BYTES else text


def _pipe(
    *, reader: contextlib.ExitStack, writer: contextlib.ExitStack
) -> tuple[BinaryIO, BinaryIO]:
    """The two ends of a pipe, each closed by one of the two stacks."""
    source, sink = os.pipe()
    return (
        reader.enter_context(os.fdopen(source, "rb", buffering=0)),
        writer.enter_context(os.fdopen(sink, "wb", buffering=0)),
    )


class Process:
    """A running command. Make one with `Process.start`.

    Attributes:
        last_lines: the newest LAST_LINES lines that it printed.
    """

    def __init__(
        self,
        child: asyncio.subprocess.Process,
        pipes: contextlib.ExitStack,
        output: asyncio.StreamReader,
        on_line: Callable[[str], None],
    ) -> None:
        self._child = child
        self._pipes = pipes
        self._output = output
        self._on_line = on_line
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, command: Sequence[str], env: Mapping[str, str], on_line: Callable[[str], None]
    ) -> "Process":
        """Start a command under a keeper, in a session of its own.

        on_line is called with every line of its standard output and error.
        """
        # Pipes of our own: asyncio's would have `wait` wait for whoever else holds them.
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            lifeline, _ = _pipe(reader=theirs, writer=ours)
            output, written = _pipe(reader=ours, writer=theirs)
            stream = asyncio.StreamReader()
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(stream), output
            )
            ours.callback(transport.close)
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(KEEPER), *command),
                env=dict(env),
                stdin=lifeline,
                stdout=written,
                stderr=STDOUT,
                start_new_session=True,
            )
            return cls(child, ours.pop_all(), stream, on_line)

    @property
    def pid(self) -> int:
        """The keeper's process id, which is also the session's."""
        return self._child.pid

    async def wait(self) -> int:
        """The exit code, negative for a signal, once the process and its descendants are gone."""
        code = await self._child.wait()
        await self._kill_session()
        # Waited for, not awaited: a cancelled wait must not cancel the reader. Nor for long: what
        # has escaped from session and keeper may hold the pipe.
        await asyncio.wait([self._reader], timeout=LAST_OUTPUT_SECONDS)
        self._reader.cancel()
        self._pipes.close()
        return code

    async def stop(self, grace_seconds: float) -> int:
        """Ask it to stop, kill it when it has not after grace_seconds; its exit code."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._child.wait()
        return await self.kill()

    async def kill(self) -> int:
        """Kill it with all its descendants; its exit code."""
        self._signal(signal.SIGUSR1)  # the keeper kills its whole tree
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await self._child.wait()
        self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._child.returncode is None:
            self._child.send_signal(number)

    async def _kill_session(self) -> None:
        # Empty, unless the keeper itself was killed.
        deadline = time.monotonic() + KILL_SECONDS
        while (members := session_members(self.pid)) and time.monotonic() < deadline:
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)

    async def _read(self) -> None:
        lines = Lines()
        while data := await self._output.read(64 * 1024):
            self._emit(lines.feed(data))
        self._emit(lines.flush())

    def _emit(self, lines: list[str]) -> None:
        for line in lines:
            self.last_lines.append(line)
            self._on_line(line)
