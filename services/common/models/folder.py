"""A version's folder on this machine: its files, their checksums, and taking them safely."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.common.models import weights
from services.common.models.manifest import FILE_NAME, FileEntry


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder but its manifest, by relative path.

    Raises:
        BadFile: something is neither a file nor a folder, a link say.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise weights.BadFile(name, "neither a plain file nor a folder")
        if path.is_file() and name != FILE_NAME:
            yield name, path


def check(folder: Path, listed: Mapping[str, FileEntry], *, verify: bool) -> None:
    """Prove that a folder holds what its manifest lists and nothing else.

    Args:
        folder: of the version.
        listed: the manifest's files.
        verify: compare checksums as well as sizes.

    Raises:
        BadFile: the first file that is missing, altered, unlisted or unsafe.
    """
    found = dict(files(folder))
    for name in found:
        weights.check_name(name)
        if name not in listed:
            raise weights.BadFile(name, "not in the manifest")
    for name, entry in listed.items():
        if name not in found:
            raise weights.BadFile(name, "missing")
        size = found[name].stat().st_size
        if size != entry.size:
            raise weights.BadFile(name, f"{size} bytes where the manifest says {entry.size}")
    for name, entry in listed.items() if verify else ():
        if (sha256 := hash_file(found[name])) != entry.sha256:
            raise weights.BadFile(name, altered(sha256, entry))


def altered(sha256: str, entry: FileEntry) -> str:
    """The fault of a file whose checksum is another than its manifest's."""
    return f"altered: sha256 {sha256} where the manifest says {entry.sha256}"


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(folder: Path) -> dict[str, FileEntry]:
    """Size and checksum of every file."""
    return {
        name: FileEntry(sha256=hash_file(path), size=path.stat().st_size)
        for name, path in files(folder)
    }


def take(folder: Path, staged: Path, *, move: bool) -> None:
    """Copy or move a folder's files, refusing the unsafe ones before anything is touched.

    Raises:
        BadFile: it is no folder, or holds what could run code.
    """
    if not folder.is_dir():
        raise weights.BadFile(".", "not a folder")
    found = dict(files(folder))
    for name in found:
        weights.check_name(name)
    for name, path in found.items():
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if move:
            shutil.move(path, target)
        else:
            shutil.copyfile(path, target)
        target.chmod(0o644)


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A folder beside the version's, whose name no version can have; gone when the block ends."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    staged.chmod(0o755)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def flush(folder: Path) -> None:
    """Bring a folder and all below it to the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path: Path) -> None:
    """Bring one file or one folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
