"""The warden's side of the zygote: starts it, asks it for processes, notices its death."""

import asyncio
import collections
import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Final

from services.common import logs
from services.sandbox import control, linux
from services.sandbox.channel import Channel, Closed
from services.sandbox.confine import Bounds
from services.sandbox.control import Ready, Request
from services.sandbox.process import Process

log = logs.get(__name__)

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 10.0


class ZygoteLost(ConnectionError):  # noqa: N818
    """The zygote has died, and with it every process that it made."""


class Nursery:
    """One zygote and the processes made by it.

    Args:
        bounds: hard limits of every process.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._child: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None
        self._waiting: collections.deque[asyncio.Future[int]] = collections.deque()
        self._reader: asyncio.Task[None] | None = None
        self._processes: set[Process] = set()
        self.ready: Ready | None = None

    @property
    def baseline_bytes(self) -> int:
        """Address space of the preloaded interpreter; 0 before it has started."""
        return self.ready.baseline_bytes if self.ready is not None else 0

    @property
    def alive(self) -> bool:
        """Whether processes can be asked for."""
        return self._reader is not None and not self._reader.done()

    async def start(self) -> Ready:
        """Start the zygote. linux.Unsupported, with its last words, where it does not come up."""
        ours, theirs = Channel.pair()
        with theirs:
            # Not asyncio's: the event loop's child watcher would reap by pid on its own.
            self._child = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                [
                    sys.executable,
                    "-m",
                    "services.sandbox.zygote",
                    str(theirs.fileno()),
                    json.dumps(asdict(self._bounds)),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
            )
        self._control = ours
        try:
            async with asyncio.timeout(_START_SECONDS):
                packet = await ours.receive(control.MAX_PACKET_BYTES)
        except (Closed, TimeoutError) as error:
            await self.stop()
            raise linux.Unsupported(
                "the sandbox's zygote did not start; what it wrote above says why"
            ) from error
        self.ready = control.decode_ready(packet)
        self._reader = asyncio.create_task(self._read(ours))
        return self.ready

    async def _read(self, channel: Channel) -> None:
        try:
            while True:
                answer = control.decode_answer(await channel.receive(control.MAX_PACKET_BYTES))
                self._waiting.popleft().set_result(answer)
        except Closed:
            log.warning("zygote lost", processes=len(self._processes))
        finally:
            for process in list(self._processes):
                process.kill()
            for future in self._waiting:
                if not future.done():
                    future.set_exception(ZygoteLost("the zygote died"))
            self._waiting.clear()

    def _post(
        self, request: Request, pid: int = 0, descriptors: tuple[int, ...] = ()
    ) -> asyncio.Future[int]:
        """Send a request; returns its answer to come."""
        if not self.alive or self._control is None:
            raise ZygoteLost("the zygote is not running")
        try:
            self._control.send(control.encode_request(request, pid), descriptors)
        except Closed as error:
            raise ZygoteLost("the zygote died") from error
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # Its caller may have left when it comes.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append(answer)
        return answer

    async def spawn(self) -> Process:
        """A fresh process with nothing run in it. ZygoteLost, or OSError where fork fails."""
        ours, theirs = Channel.pair()
        try:
            with theirs:
                answer = self._post(Request.SPAWN, 0, (theirs.fileno(),))
        except ZygoteLost:
            ours.close()
            raise
        try:
            pid = await asyncio.shield(answer)
        except (asyncio.CancelledError, ZygoteLost):
            answer.add_done_callback(lambda done: self._abandon(done, ours))
            raise
        return self._adopt(pid, ours)

    def _adopt(self, pid: int, ours: Channel) -> Process:
        if pid < 0:
            ours.close()
            raise OSError(-pid, f"the zygote cannot fork: {os.strerror(-pid)}")
        process = Process(pid, ours, self._reap)
        self._processes.add(process)
        return process

    def _abandon(self, answer: asyncio.Future[int], ours: Channel) -> None:
        """Nobody waits for a spawn any more: kill what it made."""
        if answer.exception() is not None:
            ours.close()
            return
        with contextlib.suppress(OSError):
            self._adopt(answer.result(), ours).kill()

    async def _reap(self, process: Process) -> int:
        self._processes.discard(process)
        try:
            # Shielded: answers come in the order of requests, wanted or not.
            return await asyncio.shield(self._post(Request.REAP, process.pid))
        except ZygoteLost:
            # As subreaper the warden has inherited it.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait
            raise

    async def died(self) -> None:
        """Return when the zygote is gone."""
        if self._reader is not None:
            await asyncio.wait({self._reader})

    async def stop(self) -> None:
        """End the zygote and every process; returns when all are gone."""
        for process in list(self._processes):
            process.kill()
        gone = [process.wait() for process in self._processes]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*gone, return_exceptions=True)
        if self._control is not None:
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.gather(self._reader, return_exceptions=True)
            self._control.close()
        if self._child is not None:
            await _end(self._child)


async def _end(child: "subprocess.Popen[bytes]") -> None:
    """Wait for a zygote whose control socket is closed; kill it if it stays."""
    try:
        await asyncio.to_thread(child.wait, _STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        await asyncio.to_thread(child.wait)


def _environment() -> dict[str, str]:
    """What a step may know of the environment: nothing of ours."""
    return {
        "LANG": "C.UTF-8",
        # No threads: the zygote must be able to fork.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # The order of sets repeats, so that a replay repeats.
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
