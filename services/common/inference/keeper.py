"""A host and the tasks that follow the store for it, as one thing that lives and dies."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Generic

from services.common.inference.host import Host
from services.common.inference.serving import Model


class Keeper(Generic[Model]):
    """Runs a host's followers until it is stopped; see model_server.Mortal."""

    def __init__(self, host: Host[Model], followers: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Start the followers, which never end by themselves."""
        self._host = host
        self._tasks = [asyncio.create_task(follower) for follower in followers]

    async def died(self) -> None:
        """Return once the engine has died; raises what a follower, a fault of ours, has raised."""
        death = asyncio.create_task(self._host.died())
        try:
            done, _ = await asyncio.wait({death, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            death.cancel()

    async def stop(self) -> None:
        """End the followers, what they have begun, and the engine."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._host.stop()
