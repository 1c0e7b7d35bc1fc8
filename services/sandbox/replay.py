"""Runs a step in a fresh process, after its ancestors: the mode that every kernel allows."""

import time
from collections.abc import Sequence
from typing import Final

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox import outcome
from services.sandbox.nursery import Nursery
from services.sandbox.step import Limits, Step, run_step


class Replay:
    """Forks the zygote for each step, runs the ancestors in the fork, then the step, then kills it.

    Args:
        nursery: makes the processes.
        ancestor_limits: of each replayed step.
    """

    mode: Final = "fork-replay"

    def __init__(self, nursery: Nursery, ancestor_limits: Limits) -> None:
        self._nursery = nursery
        self._ancestor_limits = ancestor_limits

    async def run(self, step: Step, ancestors: Sequence[Step], limits: Limits) -> pb.RunResponse:
        """Run one step. ZygoteLost where the zygote dies meanwhile, NeedsFull as run_step."""
        started = time.monotonic()
        process = await self._nursery.spawn()
        try:
            for ancestor in ancestors:
                replayed = await run_step(process, ancestor, self._ancestor_limits)
                if replayed.status != pb.STATUS_OK:
                    return outcome.rejected(ancestor.node_id, replayed)
            process.limit_memory(self._nursery.baseline_bytes + limits.memory_bytes)
            ready = time.monotonic()
            response = await run_step(process, step, limits)
        finally:
            process.kill()
        response.timings.fork_ms = (ready - started) * 1000
        response.timings.run_ms = (time.monotonic() - ready) * 1000
        response.timings.replayed_steps = len(ancestors)
        return response

    def close(self, session: str) -> None:
        """Nothing is kept between the steps of a session."""
