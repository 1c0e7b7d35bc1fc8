import pytest

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox import wire
from services.sandbox.nursery import ForkFailed, ZygoteLost
from services.sandbox.snapshots import Budget, SnapshotCache
from services.sandbox.step import Limits, Step
from services.sandbox.tree import ForkTree

pytestmark = pytest.mark.asyncio

LIMITS = Limits(1.0, 2**20, 1024)
PARENT = Step("session", "parent", "x = 1")
CHILD = Step("session", "child", "x")


class Interpreter:
    """A process whose steps succeed; `fertile` says whether it forks."""

    def __init__(self, *, fertile: bool) -> None:
        self.fertile = fertile
        self.ended = False
        self.pid = 2**30  # of nobody

    def limit_memory(self, bytes_in_all: int) -> None: ...

    def pause(self) -> None: ...

    def kill(self) -> None:
        self.ended = True

    async def result(self, output_bytes: int, seconds: float) -> wire.Result:
        return wire.Result(wire.Ending.OK)


class Nursery:
    """Whose roots, or whose roots' children, do not fork."""

    kind = "light"
    baseline_bytes = 0
    baseline_anonymous_bytes = 0

    def __init__(self, *, fertile_roots: bool) -> None:
        self.made: list[Interpreter] = []
        self._fertile_roots = fertile_roots

    async def spawn(self) -> Interpreter:
        self.made.append(Interpreter(fertile=self._fertile_roots))
        return self.made[-1]

    async def fork(self, parent: Interpreter, run: wire.Run, seconds: float) -> Interpreter:
        if not parent.fertile:
            raise ForkFailed("it does not answer", stray=False)
        self.made.append(Interpreter(fertile=False))
        return self.made[-1]


def tree(nursery: Nursery) -> ForkTree:
    return ForkTree(nursery, LIMITS, SnapshotCache(Budget(2**30, 2**30, 8)))


async def test_an_interpreter_in_which_nothing_has_run_is_not_the_step_s_fault():
    nursery = Nursery(fertile_roots=False)
    with pytest.raises(ZygoteLost, match="it does not answer"):
        await tree(nursery).run(PARENT, [], LIMITS)
    assert [made.ended for made in nursery.made] == [True]


async def test_a_state_that_never_forks_rejects_what_comes_after_it():
    nursery = Nursery(fertile_roots=True)
    response = await tree(nursery).run(CHILD, [PARENT], LIMITS)
    assert response.status == pb.STATUS_REJECTED
    assert "it does not answer" in response.error.message
    root, *states = nursery.made
    assert not root.ended
    assert states
    assert all(state.ended for state in states)
