"""A step, its limits, and running it in a process that is there for it."""

import hashlib
from collections.abc import Awaitable
from dataclasses import dataclass

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox import outcome, wire
from services.sandbox.kinds import Kind
from services.sandbox.process import Ended, Overdue, Process


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one step, all set.

    Attributes:
        wall_seconds: wall-clock time.
        memory_bytes: address space beyond the preloaded interpreter's.
        output_bytes: captured output.
    """

    wall_seconds: float
    memory_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Step:
    """The code of one node of a session."""

    session: str
    node_id: str
    code: str

    @property
    def seed(self) -> int:
        """Of the step's random numbers: the same whenever and wherever it is run again."""
        name = f"{self.session}/{self.node_id}".encode()
        return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest())


class NeedsFull(Exception):  # noqa: N818 - an outcome
    """A step imports what only a full interpreter has.

    Attributes:
        node_id: the step's.
    """

    def __init__(self, node_id: str) -> None:
        super().__init__(node_id)
        self.node_id = node_id


def order(step: Step, limits: Limits) -> wire.Run:
    """What a process is told of a step."""
    return wire.Run(step.code, step.seed, limits.output_bytes)


async def run_step(process: Process, step: Step, limits: Limits) -> pb.RunResponse:
    """Run one step in a process; anything but STATUS_OK leaves the process of no use.

    NeedsFull where its interpreter is a light one and the step needs more.
    """
    run = order(step, limits)
    return await _finish(process, process.run(run, limits.wall_seconds), step, limits)


async def finish_step(process: Process, step: Step, limits: Limits) -> pb.RunResponse:
    """As run_step, in a process that was made with the step's order."""
    running = process.result(limits.output_bytes, limits.wall_seconds)
    return await _finish(process, running, step, limits)


async def _finish(
    process: Process, running: Awaitable[wire.Result], step: Step, limits: Limits
) -> pb.RunResponse:
    try:
        result = await running
    except Overdue:
        return outcome.timeout(limits.wall_seconds)
    except (Ended, wire.Malformed) as error:
        return outcome.killed(str(error))
    if result.ending != wire.Ending.NEEDS_FULL:
        return outcome.from_result(result)
    if process.kind == Kind.FULL:
        return outcome.killed("the step says that it needs more than there is")
    raise NeedsFull(step.node_id)
