"""A harvest from end to end: the folder, the queue, workers, and what came of it."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from trainer.harvest import parts
from trainer.harvest.fleet import Fleet, FleetDown
from trainer.harvest.patience import patiently
from trainer.harvest.queue import Queue, Tally, VersionsChanged
from trainer.harvest.run import BadRun, HarvestFolder, create
from trainer.harvest.summary import HarvestSummary, write_summary
from trainer.problems.problem import Problem

LOOK_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Harvest:
    """What one command asks for.

    Attributes:
        problems: what is searched.
        out: folder of the harvest.
        settings: fields of HarvestSettings, but for those about the problems.
        redis_url: Redis of the queue.
        target: gRPC target of the search service.
        workers: processes here; 0 where all workers are elsewhere.
        worker: further settings of WorkerSettings.
        restarts: deaths of workers that are made up for.
        versions: of the models that must answer, by `parts.versions_of`; where it is empty, those
            of the first result.
    """

    problems: Sequence[Problem]
    out: Path
    settings: Mapping[str, Any]
    redis_url: str
    target: str
    workers: int = 2
    worker: Mapping[str, object] = field(default_factory=dict)
    restarts: int = 20
    versions: str = ""


class Watcher(Protocol):
    """Follows a harvest, to show it."""

    def begin(self, tally: Tally) -> None:
        """It begins, or goes on."""

    def report(self, tally: Tally) -> None:
        """How far it is."""


async def harvest(asked: Harvest, watcher: Watcher) -> HarvestSummary:
    """Search what is not yet searched, and sum up; cancelled, it keeps what is done.

    Raises:
        BadRun: the folder holds another harvest, or one of other models.
        DamagedPart: a part of it cannot be read.
        QueueDown: Redis is down.
        FleetDown: no worker is left, and some items are not done.
    """
    folder = create(asked.out, asked.problems, **asked.settings)
    async with Queue(
        asked.redis_url, folder.settings.name, "coordinator", lease_seconds=60
    ) as queue:
        await parts.reconcile(folder, queue)
        if asked.versions:
            try:
                await queue.pin(asked.versions)
            except VersionsChanged as error:
                raise BadRun(f"{asked.out}: {error}") from error
        await queue.feed(folder.settings.items)
        tally = await queue.tally()
        watcher.begin(tally)
        if tally.done < folder.settings.items:
            await _run_workers(asked, folder, queue, watcher)
        await parts.publish_staged(folder, queue)
        parts.sweep(folder)
        summary = await asyncio.to_thread(write_summary, folder)
        # Workers elsewhere still look whether all is done.
        await queue.retire()
        return summary


async def _run_workers(
    asked: Harvest, folder: HarvestFolder, queue: Queue, watcher: Watcher
) -> None:
    places = {"folder": folder.path, "redis_url": asked.redis_url, "target": asked.target}
    fleet = Fleet(asked.workers, {**asked.worker, **places}, asked.restarts)
    running = asyncio.create_task(fleet.run()) if asked.workers else None
    try:
        while True:
            tally = await patiently(queue.tally, PATIENCE_SECONDS)
            watcher.report(tally)
            if tally.done >= folder.settings.items:
                return
            if running is not None and running.done():
                running.result()
                raise FleetDown("the workers have ended, and items are left")
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        if running is not None:
            # With all items done they end by themselves; told twice, no harm is done.
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError, FleetDown):
                await running
