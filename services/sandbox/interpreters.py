"""The interpreters of both kinds, each with its zygote: finds the right one for a step."""

import asyncio
import collections
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox import kinds
from services.sandbox.confine import Bounds
from services.sandbox.control import Ready
from services.sandbox.keeper import Keeper
from services.sandbox.kinds import Kind
from services.sandbox.nursery import Nursery, ZygoteLost
from services.sandbox.replay import Replay
from services.sandbox.snapshots import Budget, SnapshotCache
from services.sandbox.step import Limits, NeedsFull, Step
from services.sandbox.tree import ForkTree

if TYPE_CHECKING:
    from services.sandbox.process import Process

Executor = Replay | ForkTree

_INTERPRETER: Final = {
    Kind.LIGHT: pb.INTERPRETER_LIGHT,
    Kind.FULL: pb.INTERPRETER_FULL,
}
# Steps of a session whose need of the full interpreter is remembered; the others find out again.
_MAX_MOVED: Final = 1024


class Interpreters:
    """Runs steps, each in the smallest interpreter that has all that it needs.

    Args:
        kinds: the kinds to have; the full one at least.
        bounds: hard limits of every process.
        ancestor_limits: of each replayed step.
        budget: of the interpreter states that are kept, of both kinds together.

    Attributes:
        on_change: called with whether all zygotes are up, when that may have changed.
        moves: steps that turned out to need the full interpreter.
        forks: processes made for steps.
    """

    def __init__(
        self, kinds: Sequence[Kind], bounds: Bounds, ancestor_limits: Limits, budget: Budget
    ) -> None:
        self._ancestor_limits = ancestor_limits
        self.cache: SnapshotCache[Process] = SnapshotCache(budget)
        self.keepers = {
            kind: Keeper(bounds, kind, self._take_over, self._tell_change) for kind in kinds
        }
        self.on_change: Callable[[bool], object] | None = None
        self.moves = 0
        self.forks = 0
        self._executors: dict[Kind, Executor] = {}
        self._moved: dict[str, set[str]] = collections.defaultdict(set)

    async def start(self) -> Ready:
        """Bring up all zygotes; returns what the full one says. linux.Unsupported where one fails.

        `stop` must be called either way.
        """
        ready = await asyncio.gather(*(keeper.start() for keeper in self.keepers.values()))
        return dict(zip(self.keepers, ready, strict=True))[Kind.FULL]

    def _take_over(self, nursery: Nursery) -> None:
        """Go on with a new zygote; what was kept in the old one is gone with it."""
        self.cache.remove_ended()
        if nursery.grants_forks:
            executor: Executor = ForkTree(nursery, self._ancestor_limits, self.cache)
        else:
            executor = Replay(nursery, self._ancestor_limits)
        self._executors[nursery.kind] = executor

    @property
    def up(self) -> bool:
        """Whether all zygotes are up."""
        return all(keeper.up for keeper in self.keepers.values())

    def _tell_change(self) -> None:
        if self.on_change is not None:
            self.on_change(self.up)

    @property
    def mode(self) -> str:
        """How steps are isolated and resumed; empty before the start."""
        executor = self._executors.get(Kind.FULL)
        return executor.mode if executor is not None else ""

    async def wait_up(self, step: Step, ancestors: Sequence[Step]) -> None:
        """Return when a step could run. ZygoteLost where no zygote comes up in time."""
        await self.keepers[self._kind(step, ancestors)].wait_up()

    async def run(self, step: Step, ancestors: Sequence[Step], limits: Limits) -> pb.RunResponse:
        """Run one step. ZygoteLost where the zygote is down, or dies meanwhile."""
        kind = self._kind(step, ancestors)
        try:
            return await self._run_in(kind, step, ancestors, limits)
        except NeedsFull as needs:
            self.moves += 1
            moved = self._moved[step.session]
            if len(moved) < _MAX_MOVED:
                moved.add(needs.node_id)
        return await self._run_in(Kind.FULL, step, ancestors, limits)

    def _kind(self, step: Step, ancestors: Sequence[Step]) -> Kind:
        if Kind.LIGHT not in self.keepers:
            return Kind.FULL
        steps = (*ancestors, step)
        moved = self._moved.get(step.session)
        if moved and any(each.node_id in moved for each in steps):
            return Kind.FULL
        return kinds.needed(each.code for each in steps)

    async def _run_in(
        self, kind: Kind, step: Step, ancestors: Sequence[Step], limits: Limits
    ) -> pb.RunResponse:
        executor = self._executors.get(kind)
        if executor is None or not self.keepers[kind].up:
            raise ZygoteLost(f"the {kind} zygote is down")
        response = await executor.run(step, ancestors, limits)
        response.interpreter = _INTERPRETER[kind]
        self.forks += response.timings.replayed_steps + 1
        return response

    def close(self, session: str) -> None:
        """End every process of a session."""
        self._moved.pop(session, None)
        for executor in self._executors.values():
            executor.close(session)

    async def stop(self) -> None:
        """End the zygotes and every process."""
        await asyncio.gather(*(keeper.stop() for keeper in self.keepers.values()))
