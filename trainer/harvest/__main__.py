"""`python -m trainer.harvest`: one worker of a harvest, until all is done or it is told to stop.

Any number of them, on any number of machines that share the folder, Redis and the search service.
Its options are the environment variables of WorkerSettings. SIGTERM commits what is finished and
gives the rest back.
"""

import asyncio
import os
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common import environment, logs, telemetry
from services.common.grading.grader import GraderUnavailable
from services.common.redis_url import RedisUrl
from trainer.evaluation.service import ServiceAbsent
from trainer.harvest.exits import Exit
from trainer.harvest.grading import LateGrader
from trainer.harvest.parts import DamagedPart
from trainer.harvest.queue import Queue
from trainer.harvest.remote import connect
from trainer.harvest.run import BadRun, HarvestFolder
from trainer.harvest.worker import Pace, Worker, WorkerStopped

log = logs.get(__name__)


class WorkerSettings(BaseSettings):
    """Settings of a worker: RSTAR_HARVEST_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_HARVEST_")

    folder: Path = Field(description="Folder of the harvest.")
    redis_url: RedisUrl = Field("redis://127.0.0.1:6379/0", description="Redis of the queue.")
    target: str = Field("127.0.0.1:50050", description="gRPC target of the search service.")
    concurrency: int = Field(8, ge=1, le=1024, description="Searches at once.")
    lease_seconds: float = Field(
        60.0, ge=0.2, le=3600, description="How long a dead worker's items wait for another."
    )
    patience_seconds: float = Field(
        120.0, ge=0, description="How long Redis or the search service may be away."
    )
    part_items: int = Field(64, ge=1, le=10_000, description="Searches of one parquet part.")
    part_seconds: float = Field(
        30.0, gt=0, description="How long a finished search waits for others of its part."
    )
    max_deliveries: int = Field(
        5, ge=1, le=1000, description="How often an item is tried before it is recorded as failed."
    )
    lifeline: bool = Field(
        False, description="Whether the end of standard input is an order to stop."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )

    def pace(self) -> Pace:
        """How the worker works."""
        return Pace(
            concurrency=self.concurrency,
            part_items=self.part_items,
            part_seconds=self.part_seconds,
            max_deliveries=self.max_deliveries,
            patience_seconds=self.patience_seconds,
        )


async def run(settings: WorkerSettings) -> Exit:
    """Work; how it ended."""
    folder = HarvestFolder(settings.folder)
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    lease = settings.lease_seconds
    async with (
        Queue(settings.redis_url, folder.settings.name, name, lease_seconds=lease) as queue,
        connect(settings.target, settings.patience_seconds) as searcher,
        LateGrader() as grader,
    ):
        worker = Worker(folder, queue, searcher, grader, settings.pace())
        work = asyncio.create_task(worker.work())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        if settings.lifeline:
            await _cancel_at_end_of_input(work)
        try:
            await work
        except asyncio.CancelledError:
            return Exit.TOLD
        except WorkerStopped as error:
            log.warning("worker stopped", why=str(error))
            return Exit.STOPPED
        finally:
            log.info("worker ends", committed=worker.committed)
    return Exit.DONE


async def _cancel_at_end_of_input(work: asyncio.Task[None]) -> None:
    class Ending(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            work.cancel()

    await asyncio.get_running_loop().connect_read_pipe(Ending, sys.stdin)


def main() -> int:
    """Run one worker; its exit code."""
    settings = environment.read(WorkerSettings)
    logs.configure("harvest", settings.log_level)
    telemetry.warn_of_unknown(settings)
    try:
        return asyncio.run(run(settings))
    except (BadRun, DamagedPart, ServiceAbsent, GraderUnavailable) as error:
        log.warning("worker cannot start", why=str(error))
        return Exit.STOPPED


if __name__ == "__main__":
    sys.exit(main())
