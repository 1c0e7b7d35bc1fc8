"""A process made by the zygote or by one of its descendants, as the warden sees it."""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Callable
from typing import Final

from services.sandbox import hold, wire
from services.sandbox.channel import Channel, Closed
from services.sandbox.kinds import Kind

# From the closing of a dying process's descriptors to its end.
_GRACE_SECONDS: Final = 1.0

Reap = Callable[["Process"], None]


class Ended(Exception):  # noqa: N818 - an outcome
    """The process ended, or can no longer be talked to; the message says which."""


class Overdue(Exception):  # noqa: N818 - an outcome
    """The process did not answer by its deadline."""


def describe_exit(exit_code: int) -> str:
    """The end of a process in words; the code is as of os.waitstatus_to_exitcode."""
    if exit_code >= 0:
        return f"the step ended its own process with exit status {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    cause = " (not by the sandbox: is the machine out of memory?)" if name == "SIGKILL" else ""
    return f"the step's process was killed by {name}{cause}"


class Process:
    """One interpreter. Its owner calls `kill`, after which it is collected by itself.

    Args:
        pid: a child of the zygote, not yet reaped.
        channel: our end of its socket pair.
        reap: called when it has ended; has it collected and then calls `collected`.
        kind: of interpreter.
        leads: whether it leads a process group, which then ends with it.
        memory_bytes: its limit of address space as limit_memory has set it; 0 where it has not.

    Attributes:
        forking: held by who asks it to fork.
        memory_bytes: as limit_memory has set it; what it forks has the same.
        awaited: whether somebody waits for its end.
    """

    def __init__(
        self,
        pid: int,
        channel: Channel,
        reap: Reap,
        *,
        kind: Kind,
        leads: bool,
        memory_bytes: int = 0,
    ) -> None:
        self.pid = pid
        self.kind = kind
        self.forking = asyncio.Lock()
        self.memory_bytes = memory_bytes
        self.awaited = False
        self._channel = channel
        self._leads = leads
        self._reap = reap
        self._hold: hold.Hold | None = hold.take(pid)
        self._watched = False
        self._collected: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # A zygote that died cannot reap; the awaiting caller, if any, is told.
        self._collected.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Who dies closes its channel. Whether it did die the hold tells, watched only then.
        channel.watch(self._watch)

    def _watch(self) -> None:
        """Wait for its end from here on."""
        if not self._watched and self._hold is not None:
            self._watched = True
            self._hold.watch(self._end)

    def _end(self) -> None:
        """It has ended: have it collected."""
        if self._hold is not None:
            self._hold.release()
            self._hold = None
        self._channel.end()
        if self._leads:
            # Before it is reaped, while nobody else can have its pid.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._reap(self)

    def collected(self, status: int | Exception) -> None:
        """It has been reaped, with this wait status, or cannot be, for this reason."""
        # What it sent before its end has been read by now, or is wanted by nobody.
        self._channel.close()
        if isinstance(status, Exception):
            self._collected.set_exception(status)
        else:
            self._collected.set_result(os.waitstatus_to_exitcode(status))

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._hold is None

    async def run(self, run: wire.Run, seconds: float) -> wire.Result:
        """Run a step. Ended, Overdue or wire.Malformed where there is no result.

        The process must be killed after any of them, and may run again after a result.
        """
        try:
            self._channel.send(wire.encode_run(run))
        except (Closed, OSError) as error:
            raise Ended(await self._ending()) from error
        return await self.result(run.output_bytes, seconds)

    async def result(self, output_bytes: int, seconds: float) -> wire.Result:
        """As `run`, where the process was made with the step to run already."""
        packet = await self._next_packet(seconds)
        return wire.decode_result(packet, output_bytes)

    async def _next_packet(self, seconds: float) -> bytes:
        try:
            return await self._receive(asyncio.get_running_loop().time() + seconds)
        except TimeoutError as error:
            raise Overdue from error
        except Closed as error:
            raise Ended(await self._ending()) from error

    async def _receive(self, deadline: float) -> bytes:
        while True:
            packet, sender = await self._channel.receive(deadline)
            # Who else may hold the other end is a descendant or ancestor gone astray.
            if sender == self.pid:
                return packet

    async def _ending(self) -> str:
        """Why nothing more comes from the process, which has ended or closed its channel."""
        self.awaited = True
        self._watch()
        await asyncio.wait({self._collected}, timeout=_GRACE_SECONDS)
        if self._collected.done():
            return describe_exit(self._collected.result())
        return "the step closed the channel through which it answers"

    def ask_to_fork(self, gate: int) -> None:
        """Wake it to fork a process that finds its channel and first command behind a gate.

        Closed where it is gone.
        """
        self._channel.send(wire.encode_fork(), (gate,))
        self._signal(signal.SIGCONT)

    def pause(self) -> None:
        """Stop it: whatever it holds stays as it is, and it uses no processor."""
        self._signal(signal.SIGSTOP)

    def limit_memory(self, bytes_in_all: int) -> None:
        """Set the address space of it and of what it forks from now on.

        It cannot raise the limit itself; nothing is raised over the hard limit.
        """
        if bytes_in_all == self.memory_bytes:
            return
        with contextlib.suppress(ProcessLookupError):
            _, ceiling = resource.prlimit(self.pid, resource.RLIMIT_AS)
            wanted = (min(bytes_in_all, ceiling), ceiling)
            resource.prlimit(self.pid, resource.RLIMIT_AS, wanted)
            self.memory_bytes = bytes_in_all

    def kill(self) -> None:
        """Kill it now, and its group if it leads one; harmless where it has ended."""
        self._signal(signal.SIGKILL)
        # Its channel may not tell of its end: a process gone astray may hold a copy.
        self._watch()
        # And where it does, that is once too often.
        self._channel.unwatch()

    def _signal(self, number: signal.Signals) -> None:
        if self._hold is not None:
            with contextlib.suppress(ProcessLookupError):
                self._hold.signal(number)

    async def wait(self) -> int:
        """Its exit code, once it has ended and is collected."""
        self.awaited = True
        return await asyncio.shield(self._collected)
