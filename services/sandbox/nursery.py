"""The warden's side of the zygote: starts it, asks it for processes, notices its death."""

import asyncio
import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import Any, Final

from services.common import logs
from services.sandbox import control, linux, usage, wire
from services.sandbox.channel import Channel, Closed
from services.sandbox.confine import Bounds
from services.sandbox.control import Ready, Request
from services.sandbox.kinds import Kind
from services.sandbox.notify import Grants
from services.sandbox.process import Process

log = logs.get(__name__)

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 10.0
# The dead wait so long for others, so that one request collects them all.
_REAP_SECONDS: Final = 0.02
# Groups that may have members when the zygote dies: those of all sessions, and the last ended.
_MOST_GROUPS: Final = 16_384


class ZygoteLost(ConnectionError):  # noqa: N818 - a state
    """The zygote has died, and with it every process that it made, or its processes fail."""


class ForkFailed(Exception):  # noqa: N818 - an outcome
    """A process that was asked to fork did not, or not as it should.

    Attributes:
        stray: whether a process may have come of it that nobody knows.
    """

    def __init__(self, reason: str, *, stray: bool) -> None:
        super().__init__(reason)
        self.stray = stray


class Nursery:
    """One zygote and the processes made by it and by its descendants.

    Args:
        bounds: hard limits of every process.
        kind: of its interpreters.
    """

    def __init__(self, bounds: Bounds, kind: Kind) -> None:
        self.kind = kind
        self._bounds = bounds
        self._child: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None
        self._grants: Grants | None = None
        self._waiting: collections.deque[asyncio.Future[list[int]]] = collections.deque()
        self._dead: list[Process] = []
        self._flush: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[None] | None = None
        self._processes: dict[int, Process] = {}
        self._groups: collections.deque[int] = collections.deque(maxlen=_MOST_GROUPS)
        self.baseline_bytes = 0
        self.baseline_anonymous_bytes = 0

    @property
    def alive(self) -> bool:
        """Whether processes can be asked for."""
        return self._reader is not None and not self._reader.done()

    @property
    def grants_forks(self) -> bool:
        """Whether processes can be asked to fork; known once started."""
        return self._grants is not None

    async def start(self) -> Ready:
        """Start the zygote. linux.Unsupported, with its last words, where it does not come up."""
        ours, theirs = Channel.pair()
        self._control = ours
        with theirs:
            self._child = _start_zygote(theirs.fileno(), self.kind, self._bounds)
        try:
            async with asyncio.timeout(_START_SECONDS):
                packet, listeners = await ours.receive_with_descriptors()
        except (Closed, TimeoutError) as error:
            await self.stop()
            raise linux.Unsupported(
                "the sandbox's zygote did not start; what it wrote above says why"
            ) from error
        ready = control.decode_ready(packet)
        self.baseline_bytes = ready.baseline_bytes
        self.baseline_anonymous_bytes = usage.anonymous_bytes(self._child.pid)
        for listener in listeners:
            self._grants = Grants(listener, self._child.pid, self._kill_intruder)
        self._reader = asyncio.create_task(self._read(ours))
        return ready

    def _kill_intruder(self, pid: int) -> None:
        """Kill a process that forks unasked; it is held in that call, so the pid is its own."""
        log.warning("a step tried to fork on its own")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def _read(self, channel: Channel) -> None:
        try:
            while True:
                packet, _ = await channel.receive()
                self._waiting.popleft().set_result(control.decode_answer(packet))
        except Closed:
            log.warning("zygote lost", kind=self.kind, processes=len(self._processes))
        finally:
            for process in list(self._processes.values()):
                process.kill()
            for future in self._waiting:
                if not future.done():
                    future.set_exception(ZygoteLost("the zygote died"))
            self._waiting.clear()

    def _post(
        self, request: Request, pids: Sequence[int] = (), descriptors: tuple[int, ...] = ()
    ) -> asyncio.Future[list[int]]:
        """Send a request; returns its answer to come."""
        if not self.alive or self._control is None:
            raise ZygoteLost("the zygote is not running")
        try:
            self._control.send(control.encode_request(request, pids), descriptors)
        except Closed as error:
            raise ZygoteLost("the zygote died") from error
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        # Its caller may have left when it comes.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append(answer)
        return answer

    async def spawn(self) -> Process:
        """A fresh process with nothing run in it. ZygoteLost, or OSError where fork fails."""
        return await _unless_abandoned(self._spawn())

    async def _spawn(self) -> Process:
        ours, theirs = Channel.pair()
        try:
            with theirs:
                answer = self._post(Request.SPAWN, (), (theirs.fileno(),))
            pid = _pid(*await answer)
        except BaseException:
            ours.close()
            raise
        return self._adopt(pid, ours, leads=True)

    async def fork(self, parent: Process, run: wire.Run, seconds: float) -> Process:
        """A process that goes on from where `parent`, which is paused, stands, and runs a step.

        ForkFailed where it does not come within `seconds`; the parent is then of no more use and
        must be killed. If the caller is cancelled, the child is killed once made.
        """
        if self._grants is None:
            raise ForkFailed("forks are not granted on this machine", stray=False)
        await parent.forking.acquire()
        deadline = asyncio.get_running_loop().time() + seconds
        self._grants.arm(parent.pid)
        try:
            channel = self._ask(parent, run)
        except OSError as error:
            raise _failed(parent, self._grants, error) from error
        try:
            return await self._newborn(parent, channel, self._grants, deadline)
        except asyncio.CancelledError:
            # A task for this case alone: it would be a good part of what a fork costs here.
            unwanted = asyncio.create_task(self._newborn(parent, channel, self._grants, deadline))
            unwanted.add_done_callback(_kill_made)
            raise

    def _ask(self, parent: Process, run: wire.Run) -> Channel:
        """Have a process fork; returns the channel of the child to come."""
        ours, theirs = Channel.pair()
        try:
            gate, its_gate = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with gate, its_gate:
                # Lies there when the child comes to read: it need not be woken a second time.
                socket.send_fds(gate, [wire.encode_run(run)], [theirs.fileno()])
                parent.ask_to_fork(its_gate.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    async def _newborn(
        self, parent: Process, channel: Channel, grants: Grants, deadline: float
    ) -> Process:
        """The child that was asked for; if cancelled, it can be awaited again."""
        try:
            packet, pid = await channel.receive(deadline)
            self._check_hello(packet, pid)
            child = self._adopt(pid, channel, leads=False, memory_bytes=parent.memory_bytes)
        except (OSError, wire.Malformed) as error:
            channel.close()
            raise _failed(parent, grants, error) from error
        _settle(parent)
        return child

    def _check_hello(self, packet: bytes, pid: int) -> None:
        """A hello is from a process that is not known yet: the one that the grant let be made."""
        failure = wire.decode_hello(packet)
        if failure:
            raise OSError(failure, os.strerror(failure))
        if pid in self._processes:
            raise wire.Malformed("a known process says it is new")

    def _adopt(self, pid: int, ours: Channel, *, leads: bool, memory_bytes: int = 0) -> Process:
        process = Process(
            pid, ours, self._reap, kind=self.kind, leads=leads, memory_bytes=memory_bytes
        )
        self._processes[pid] = process
        if leads:
            self._groups.append(pid)
        return process

    def _reap(self, process: Process) -> None:
        """Have the zygote collect a process, together with others that end about now."""
        self._dead.append(process)
        if len(self._dead) >= control.MAX_PIDS or process.awaited:
            self._reap_dead()
        elif self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(_REAP_SECONDS, self._reap_dead)

    def _reap_dead(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        dead, self._dead = self._dead, []
        if not dead:
            return
        try:
            answer = self._post(Request.REAP, [process.pid for process in dead])
        except ZygoteLost as error:
            self._bury(dead, error)
        else:
            answer.add_done_callback(
                lambda done: self._bury(dead, done.exception() or done.result())
            )

    def _bury(self, dead: list[Process], statuses: "list[int] | BaseException") -> None:
        """Forget processes that have been collected."""
        for number, process in enumerate(dead):
            del self._processes[process.pid]
            if isinstance(statuses, list):
                process.collected(statuses[number])
            else:
                process.collected(ZygoteLost(str(statuses)))

    async def died(self) -> None:
        """Return when the zygote is gone."""
        if self._reader is not None:
            await asyncio.wait({self._reader})

    async def stop(self) -> None:
        """End the zygote and every process; returns when all are gone."""
        for process in self._processes.values():
            process.kill()
            process.awaited = True
        self._reap_dead()
        gone = [process.wait() for process in self._processes.values()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*gone, return_exceptions=True)
        if self._grants is not None:
            self._grants.close()
            self._grants = None
        if self._control is not None:
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.gather(self._reader, return_exceptions=True)
            self._control.close()
        if self._child is not None:
            await _end(self._child)
            await self._collect_orphans()

    async def _collect_orphans(self) -> None:
        """Collect what the zygote has left to the warden, which is its subreaper."""
        left = list(self._groups)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                # They are dying: of the kill above or, unknown to us, of their parent's death.
                while left := [group for group in left if not linux.collect_group(group)]:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(_REAP_SECONDS)


def _start_zygote(descriptor: int, kind: Kind, bounds: Bounds) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "services.sandbox.zygote"]
    return subprocess.Popen(
        [*command, str(descriptor), kind, json.dumps(asdict(bounds))],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env=_environment(),
    )


def _failed(parent: Process, grants: Grants, error: Exception) -> ForkFailed:
    used = not grants.disarm(parent.pid)
    _settle(parent)
    return ForkFailed(f"no process came of a fork: {error}", stray=used)


def _settle(parent: Process) -> None:
    """Put a process that has forked, or failed to, back to rest."""
    parent.pause()
    parent.forking.release()


def _pid(answer: int) -> int:
    if answer < 0:
        raise OSError(-answer, f"the zygote cannot fork: {os.strerror(-answer)}")
    return answer


async def _unless_abandoned(making: Coroutine[Any, Any, Process]) -> Process:
    """Await a process in the making; if the caller is cancelled, it is killed once made."""
    task = asyncio.ensure_future(making)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_kill_made)
        raise


def _kill_made(task: asyncio.Future[Process]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().kill()


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
