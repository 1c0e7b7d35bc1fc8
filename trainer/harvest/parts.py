"""Parts of a harvest: parquet files that are staged, committed in Redis, then published.

The commit is the script in Redis; files only follow it. What a crash leaves, point by point:

- while a part is staged: a file that nobody has committed. Its items are still leased to the dead
  worker, are taken by another when the lease has run out, and are searched again.
- after the commit, before the rename: the part stands in the set of staged parts. Every worker that
  starts or runs out of work, and the coordinator at the end, publishes what stands there.
- after the rename, before the set is told: publishing again finds the part in its place.
- the reply of the commit is lost: the same commit again finds its part in the set, or its items
  done.
- a worker that was thought dead commits after another has done its items: nothing of its part is
  committed; it drops the items that are taken, and commits a part without them.
- Redis loses its memory, or a second of it: `reconcile` counts what the parts hold as done before
  a run goes on. A part is renamed only when Redis says that its append-only file is on the disk.
- a published part is lost: its items are work again, by the same reconciliation.

So every item has its rows in exactly one published part. Staging and parts are on one file system,
which all workers share; rename is atomic there.
"""

import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from services.common import logs
from trainer.harvest.queue import Done, Queue
from trainer.harvest.rows import schema
from trainer.harvest.run import HarvestFolder, sync_folder

SUFFIX: Final = ".parquet"
_INDEX_COLUMNS: Final = ["item", "level", "parent", "correct", "failure", "policy", "ppm"]

log = logs.get(__name__)

Rows = Sequence[Mapping[str, Any]]


class DamagedPart(Exception):  # noqa: N818 - says what is wrong
    """A published part that cannot be read; the message names it."""


def stage(folder: HarvestFolder, searches: Iterable[Rows]) -> str:
    """Write the rows of searches to a new part, on the disk before it is named; its name."""
    import pyarrow
    from pyarrow import parquet

    name = f"part-{uuid.uuid4().hex}{SUFFIX}"
    rows = [row for search in searches for row in search]
    table = pyarrow.Table.from_pylist(rows, schema=schema())
    with (folder.staging / name).open("wb") as file:
        parquet.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    return name


def publish(folder: HarvestFolder, name: str) -> None:
    """Give a committed part its final place; again, nothing happens.

    FileNotFoundError where it is neither staged nor published.
    """
    try:
        (folder.staging / name).rename(folder.parts / name)
    except FileNotFoundError:
        if not (folder.parts / name).exists():
            raise
    sync_folder(folder.parts)


async def publish_staged(folder: HarvestFolder, queue: Queue) -> None:
    """Publish every part that is committed, whoever wrote it."""
    for name in await queue.staged():
        try:
            publish(folder, name)
        except FileNotFoundError:
            # Its items come back by `reconcile`.
            log.warning("a committed part is gone", part=name)
        await queue.published(name)


def published(folder: HarvestFolder) -> list[Path]:
    """The published parts, by name."""
    return sorted(folder.parts.glob(f"part-*{SUFFIX}"))


def index(path: Path) -> tuple[list[Done], str]:
    """What a part holds: its items, and their versions as `policy ppm` (empty: all failed)."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=_INDEX_COLUMNS)
    except (OSError, pyarrow.ArrowException) as error:
        raise DamagedPart(f"{path}: {error}") from error
    items: dict[int, Done] = {}
    versions = ""
    for row in table.to_pylist():
        number = row["item"]
        before = items.get(number) or Done(number, row["level"], False)
        if row["parent"] is None and row["failure"] is None:
            versions = versions_of(row["policy"], row["ppm"])
        failed = before.failed or row["failure"] is not None
        items[number] = Done(number, row["level"], before.solved or bool(row["correct"]), failed)
    return list(items.values()), versions


def versions_of(policy: str, ppm: str | None) -> str:
    """How the queue names a pair of versions."""
    return f"{policy} {ppm or '-'}"


async def reconcile(folder: HarvestFolder, queue: Queue) -> None:
    """Make the queue agree with the parts on the disk. Workers may run meanwhile.

    What the disk holds and the queue does not know is marked as done; what the queue calls done and
    the disk has lost becomes work again.
    """
    # In this order: an item that is done now has its part published or in the set of staged ones,
    # and those are published before the folder is read.
    said = await queue.done()
    await publish_staged(folder, queue)
    held: set[int] = set()
    for path in published(folder):
        found, versions = index(path)
        held |= {one.item for one in found}
        if unknown := [one for one in found if one.item not in said]:
            marked = await queue.mark(versions, unknown)
            if marked:
                log.info(
                    "parts tell of items that the queue had lost", part=path.name, items=marked
                )
    if lost := said - held:
        log.warning("items are done again: their part is gone", items=len(lost))
        await queue.again(lost)


def sweep(folder: HarvestFolder) -> None:
    """Remove what crashes left in staging; only while no worker runs, and all is published."""
    for path in folder.staging.glob(f"part-*{SUFFIX}"):
        path.unlink(missing_ok=True)
