"""A store in a folder: versions appear by one rename, records by one link."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from services.common.models import folder
from services.common.models.backend import Leftover
from services.common.models.errors import ModelExists, ModelNotFound
from services.common.models.manifest import FILE_NAME, Kind, Manifest, is_version


class LocalBackend:
    """A folder, shared by any number of processes; see Backend."""

    def __init__(self, root: Path) -> None:
        """Use the folder `root`; makes nothing yet."""
        self.folder = root
        self.location = str(root)

    def versions(self, kind: Kind) -> list[str]:
        """See Backend."""
        place = self.folder / kind
        if not place.is_dir():
            return []
        names = (entry.name for entry in os.scandir(place) if is_version(entry.name))
        return sorted(name for name in names if (place / name / FILE_NAME).is_file())

    def listed(self, kind: Kind) -> Mapping[str, bytes] | None:
        """See Backend; a folder is read as fast."""
        return None

    def reindex(self, kind: Kind) -> None:
        """See Backend; nothing to do."""

    def sizes(self, kind: Kind) -> dict[str, dict[str, int]]:
        """See Backend."""
        found = {}
        for version in self.versions(kind):
            with contextlib.suppress(FileNotFoundError):  # removed in this very moment
                found[version] = dict(_sizes(str(self.folder / kind / version), ""))
        return found

    def manifests(self, kind: Kind, versions: Iterable[str]) -> Mapping[str, bytes]:
        """See Backend."""
        found: dict[str, bytes] = {}
        for version in versions:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found[version] = (self.folder / kind / version / FILE_NAME).read_bytes()
        return found

    def holds(self, kind: Kind, version: str) -> bool:
        """See Backend."""
        return (self.folder / kind / version).is_dir()

    def bring(self, kind: Kind, version: str, manifest: Manifest, written: bytes) -> Path:
        """See Backend; it is here."""
        return self.folder / kind / version

    def forget(self, kind: Kind, version: str) -> bool:
        """See Backend; what is here is the store itself."""
        return False

    def settle(self, staged: Path, kind: Kind, version: str, *, replace: bool) -> Path:
        """See Backend. Of two publishers at once, one wins whole."""
        target = self.folder / kind / version
        if replace and target.exists():
            # Readers that have the old files open keep them; a crash between the two renames
            # leaves the version missing, never mixed.
            with folder.staging(target) as old:
                target.replace(old / "replaced")
                staged.rename(target)
        else:
            try:
                staged.rename(target)
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise ModelExists(
                        f"{kind} {version!r} is in the store already ({target})"
                    ) from None
                raise
        folder.sync(target.parent)
        return target

    def remove(self, kind: Kind, version: str) -> None:
        """See Backend."""
        target = self.folder / kind / version
        with folder.staging(target) as old:
            target.replace(old / "removed")
        folder.sync(target.parent)

    def create(self, name: str, content: bytes) -> bool:
        """See Backend."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            target.hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            Path(temporary).unlink()
        folder.sync(target.parent)
        return True

    def read(self, name: str) -> bytes:
        """See Backend."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise ModelNotFound(f"no {name} in {self.location}") from None

    def names(self, folder: str) -> list[str]:
        """See Backend."""
        place = self.folder / folder
        if not place.is_dir():
            return []
        return sorted(path.name for path in place.iterdir() if not path.name.startswith("."))

    def leftovers(self) -> list[Leftover]:
        """See Backend: staging folders, and folders without a manifest."""
        places = (self.folder / kind for kind in get_args(Kind))
        paths = (path for place in places if place.is_dir() for path in sorted(place.iterdir()))
        return [
            Leftover(f"{path.parent.name}/{path.name}", _age(path), str(path))
            for path in paths
            if path.is_dir() and not (is_version(path.name) and (path / FILE_NAME).is_file())
        ]

    def discard(self, leftover: Leftover) -> None:
        """See Backend."""
        shutil.rmtree(leftover.path, ignore_errors=True)


def _sizes(place: str, prefix: str) -> Iterator[tuple[str, int]]:
    # A thousand versions are listed in a blink: scandir, where rglob would take a second.
    for entry in os.scandir(place):
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(entry.path, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.stat(follow_symlinks=False).st_size


def _age(path: Path) -> float:
    """Seconds since anything in a folder was last written."""
    latest = 0.0
    for each in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            latest = max(latest, each.stat().st_mtime)
    return time.time() - latest
