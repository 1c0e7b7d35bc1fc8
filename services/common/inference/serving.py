"""What is served right now, and the way in: work passes, and waits while the model is swapped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

import grpc

from services.common import rpc


class Versioned(Protocol):
    """A model that is served, with all that goes with it."""

    @property
    def version(self) -> str:
        """Its name in the store."""
        ...


Model = TypeVar("Model", bound=Versioned)
Result = TypeVar("Result")


class _Visit:
    """One piece of work inside."""

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self.task = task
        self.interrupted = False

    def interrupt(self) -> None:
        """End it; whoever brought it begins it again."""
        self.interrupted = True
        self.task.cancel()


class Serving(Generic[Model]):
    """The model that is served, others beside it on the same engine, and all work on them.

    Work learns its model when it is let in and keeps it to its end. So whatever labels a result
    with that model's version tells the truth: a model is only exchanged while nobody is inside.
    """

    def __init__(self) -> None:
        self._main: Model | None = None
        self._beside: dict[str, Model] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._visits: set[_Visit] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def main(self) -> Model | None:
        """What calls that name no version get; None while nothing is loaded."""
        return self._main

    @property
    def versions(self) -> list[str]:
        """All versions that can be asked for, the main one first."""
        return ([self._main.version] if self._main else []) + sorted(self._beside)

    def show(self, main: Model | None, beside: Iterable[Model] = ()) -> None:
        """Serve these to work that is let in from here on."""
        self._main = main
        self._beside = {model.version: model for model in beside}

    def pick(self, version: str = "") -> Model:
        """The model that serves a version, or the main one for the empty name.

        Raises:
            rpc.StatusError: UNAVAILABLE where nothing is loaded; FAILED_PRECONDITION where this
                version is not served.
        """
        if self._main is None:
            raise rpc.StatusError(grpc.StatusCode.UNAVAILABLE, "no model is loaded yet; try again")
        if version in {"", self._main.version}:
            return self._main
        if version in self._beside:
            return self._beside[version]
        raise rpc.StatusError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"model_version: {version!r} is not served, {', '.join(self.versions)} is",
        )

    async def admit(self, version: str = "") -> Model:
        """As `pick`, once no exchange is under way."""
        await self._open.wait()
        return self.pick(version)

    async def use(self, version: str, work: Callable[[Model], Awaitable[Result]]) -> Result:
        """Do work on a model; waits while it is being exchanged.

        Args:
            version: that must serve it; empty for the main one.
            work: begun again, on what is then served, where a swap could not wait for it: it must
                have no effect but its result.

        Raises:
            rpc.StatusError: as `pick` does, also where the version was exchanged meanwhile.
        """
        while True:
            await self._open.wait()
            task = asyncio.ensure_future(_run(work, self.pick(version)))
            visit = _Visit(task)
            self._visits.add(visit)
            self._empty.clear()
            try:
                return await task
            except asyncio.CancelledError:
                if not visit.interrupted or _is_cancelled():
                    raise
            finally:
                self._visits.discard(visit)
                if not self._visits:
                    self._empty.set()

    @contextlib.asynccontextmanager
    async def closed(self, drain_seconds: float) -> AsyncIterator[int]:
        """Let nobody in and wait until nobody is inside; open again at the end of the block.

        Args:
            drain_seconds: what has not ended by then is interrupted.

        Yields:
            How much work was interrupted.
        """
        self._open.clear()
        try:
            interrupted = 0
            try:
                async with asyncio.timeout(drain_seconds):
                    await self._empty.wait()
            except TimeoutError:
                interrupted = len(self._visits)
                for visit in self._visits:
                    visit.interrupt()
                await self._empty.wait()
            yield interrupted
        finally:
            self._open.set()

    async def left_by_now(self) -> None:
        """Return once all that is inside now has left."""
        tasks = [visit.task for visit in self._visits]
        if tasks:
            await asyncio.wait(tasks)


async def _run(work: Callable[[Model], Awaitable[Result]], model: Model) -> Result:
    return await work(model)


def _is_cancelled() -> bool:
    """Whether the running task itself is to end, not only what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
