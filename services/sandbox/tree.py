"""Runs a step in a fork of its parent's interpreter: the fork tree.

Each node of a session's tree is a stopped process; a step wakes its parent's, which forks, and the
child runs the step and is stopped in its turn. A session's processes are one group, led by a root
in which nothing has run. Snapshots are a cache: what is missing is made again, from the nearest
ancestor that is there.
"""

import asyncio
import hashlib
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.common import logs
from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox import outcome, usage
from services.sandbox.nursery import ForkFailed, Nursery, ZygoteLost
from services.sandbox.process import Process
from services.sandbox.snapshots import Snapshot, SnapshotCache
from services.sandbox.step import Limits, Step, finish_step, order

log = logs.get(__name__)

# A tampered parent may never answer; an honest one on an overloaded machine needs a second or two.
_FORK_SECONDS: Final = 5.0
# A state that vanished meanwhile is made again; one that cannot be forked repeatedly is given up.
_ATTEMPTS: Final = 3


class _Rejected(Exception):  # noqa: N818 - an outcome
    """An ancestor did not succeed when it was run again."""

    def __init__(self, response: pb.RunResponse) -> None:
        super().__init__(response.error.message)
        self.response = response


@dataclass(slots=True)
class _Place:
    """Where a step begins: its parent's process, and how many steps it took to get there."""

    process: Process
    key: bytes
    replayed: int


class ForkTree:
    """All sessions' trees.

    Args:
        nursery: makes the processes.
        ancestor_limits: of each replayed step.
        cache: of snapshots; more than one tree may have it.
    """

    mode: Final = "fork-tree"

    def __init__(
        self, nursery: Nursery, ancestor_limits: Limits, cache: SnapshotCache[Process]
    ) -> None:
        self._nursery = nursery
        self._ancestor_limits = ancestor_limits
        self._cache = cache
        self._roots: dict[str, Process] = {}
        self._making: weakref.WeakValueDictionary[bytes, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    async def run(self, step: Step, ancestors: Sequence[Step], limits: Limits) -> pb.RunResponse:
        """Run one step. NeedsFull as run_step.

        ZygoteLost where the zygote dies meanwhile, or a process in which nothing has run fails.
        """
        failure = ""
        # Each attempt that fails has found one state dead; all that there are may be.
        for _ in range(_ATTEMPTS + len(ancestors)):
            try:
                return await self._run(step, ancestors, limits)
            except _Rejected as rejected:
                return rejected.response
            except ForkFailed as error:
                failure = str(error)
        return outcome.unforkable(failure)

    async def _run(self, step: Step, ancestors: Sequence[Step], limits: Limits) -> pb.RunResponse:
        started = time.monotonic()
        place = await self._place(step.session, ancestors)
        child = await self._fork(place, step, limits)
        forked = time.monotonic()
        response = await _run_in(child, step, limits)
        if response.status == pb.STATUS_OK:
            # Once the answer is on its way: its caller has work to do meanwhile.
            loop = asyncio.get_running_loop()
            loop.call_soon(self._keep, child, step.session, _key(place.key, step))
        response.timings.fork_ms = (forked - started) * 1000
        response.timings.run_ms = (time.monotonic() - forked) * 1000
        response.timings.replayed_steps = place.replayed
        return response

    async def _place(self, session: str, steps: Sequence[Step]) -> _Place:
        """The state after these steps, made again from the nearest living one if need be."""
        keys = [self._session_key(session)]
        for step in steps:
            keys.append(_key(keys[-1], step))
        known = len(steps)
        while known and self._cache.get(keys[known]) is None:
            known -= 1
        place = await self._known_place(session, keys[known])
        for step, key in zip(steps[known:], keys[known + 1 :], strict=True):
            place = await self._next_place(place, step, key)
        return place

    async def _known_place(self, session: str, key: bytes) -> _Place:
        state = self._cache.get(key)
        return _Place(state or await self._root(session), key, 0)

    async def _next_place(self, place: _Place, step: Step, key: bytes) -> _Place:
        async with self._lock(key):
            state = self._cache.get(key)
            if state is not None:
                return _Place(state, key, place.replayed)
            child = await self._fork(place, step, self._ancestor_limits)
            response = await _run_in(child, step, self._ancestor_limits)
            if response.status != pb.STATUS_OK:
                raise _Rejected(outcome.rejected(step.node_id, response))
            self._keep(child, step.session, key)
            return _Place(child, key, place.replayed + 1)

    def _session_key(self, session: str) -> bytes:
        name = f"{self._nursery.kind}/{session}".encode()
        return hashlib.blake2b(name, digest_size=16).digest()

    def _lock(self, key: bytes) -> asyncio.Lock:
        """Held by who makes the state of that key, so that it is made once."""
        lock = self._making.get(key)
        if lock is None:
            lock = self._making[key] = asyncio.Lock()
        return lock

    async def _root(self, session: str) -> Process:
        async with self._lock(self._session_key(session)):
            root = self._roots.get(session)
            if root is None or root.ended:
                root = await self._nursery.spawn()
                self._roots[session] = root
            return root

    async def _fork(self, place: _Place, step: Step, limits: Limits) -> Process:
        """A child of the place that has begun to run the step."""
        parent = place.process
        # Inherited by the child, which then needs no word of it.
        parent.limit_memory(self._nursery.baseline_bytes + limits.memory_bytes)
        try:
            return await self._nursery.fork(parent, order(step, limits), _FORK_SECONDS)
        except ForkFailed as error:
            log.warning("fork failed", session=step.session, reason=str(error), stray=error.stray)
            parent.kill()
            self._cache.remove(place.key)
            # Its end may not have been noticed yet, and the next attempt would come upon it again.
            if self._roots.get(step.session) is parent:
                del self._roots[step.session]
            if error.stray:
                # Somewhere in the session's group runs a process that answers to nobody.
                self.close(step.session)
            if place.key == self._session_key(step.session):
                # No step has run in it that could have kept it from forking: it was killed, or the
                # machine is too busy. Neither says anything about this step.
                raise ZygoteLost(f"a fresh interpreter did not fork: {error}") from error
            raise

    def _keep(self, child: Process, session: str, key: bytes) -> None:
        """Make a process that has run its step a state to go on from."""
        if session not in self._roots:
            # Closed meanwhile.
            child.kill()
            return
        child.pause()
        size = usage.snapshot_bytes(child.pid, self._nursery.baseline_anonymous_bytes)
        snapshot = Snapshot(key, session, child, size)
        for evicted in self._cache.put(snapshot):
            evicted.kill()

    def close(self, session: str) -> None:
        """End every process of a session."""
        for state in self._cache.remove_session(session):
            state.kill()
        root = self._roots.pop(session, None)
        if root is not None:
            root.kill()


async def _run_in(child: Process, step: Step, limits: Limits) -> pb.RunResponse:
    """Await a step in its fresh child, which is killed unless it may be a parent."""
    response = None
    try:
        response = await finish_step(child, step, limits)
    finally:
        if response is None or response.status != pb.STATUS_OK:
            child.kill()
    return response


def _key(parent: bytes, step: Step) -> bytes:
    """Names a state by all that made it; node ids are at most 64 bytes and hold no NUL."""
    text = step.node_id.encode() + b"\0" + step.code.encode()
    return hashlib.blake2b(text, digest_size=16, key=parent).digest()
