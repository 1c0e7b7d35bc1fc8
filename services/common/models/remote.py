"""A store on any fsspec file system, S3 say: files first, the manifest last, a cache here.

A publisher claims a version's name by an exclusive write before it uploads a byte, so that two of
them never mix their files. Exclusive writes need a server that has them (S3: `If-None-Match`).
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from services.common.models import folder, weights
from services.common.models.backend import Leftover
from services.common.models.errors import (
    ModelDamaged,
    ModelExists,
    ModelNotFound,
    StoreUnreachable,
)
from services.common.models.index import Index
from services.common.models.manifest import FILE_NAME, FileEntry, Kind, Manifest, is_version

CLAIM = ".publishing"
_CHUNK_BYTES = 8 * 1024 * 1024


class RemoteBackend:
    """A folder of a remote file system; see Backend. Safe to use from several threads."""

    def __init__(self, url: str, cache: Path) -> None:
        """Use `url`; versions are fetched to `cache`.

        Raises:
            StoreUnreachable: no driver of this kind of URL is installed.
        """
        self.location = url.rstrip("/")
        self.folder = cache
        self._local = threading.local()
        _, self._root = _open(self.location)

    @property
    def _fs(self) -> Any:
        """A file system of this thread's own: drivers keep listings and sessions."""
        if not hasattr(self._local, "fs"):
            self._local.fs, _ = _open(self.location)
        return self._local.fs

    def _key(self, *parts: str) -> str:
        return "/".join((self._root, *parts))

    def versions(self, kind: Kind) -> list[str]:
        """See Backend."""
        held = self._index(kind).read()
        return list(self.sizes(kind) if held is None else held)

    def listed(self, kind: Kind) -> Mapping[str, bytes] | None:
        """See Backend: two requests."""
        return self._index(kind).read()

    def reindex(self, kind: Kind) -> None:
        """See Backend."""
        self._index(kind).rebuild()

    def _index(self, kind: Kind) -> Index:
        return Index(self, kind, lambda: self.manifests(kind, self.sizes(kind)))

    def sizes(self, kind: Kind) -> dict[str, dict[str, int]]:
        """See Backend: one listing."""
        prefix = self._key(kind) + "/"
        found: dict[str, dict[str, int]] = {}
        for path, info in self._listing(self._key(kind)).items():
            version, _, name = path.removeprefix(prefix).partition("/")
            if name and name != CLAIM and is_version(version):
                found.setdefault(version, {})[name] = int(info.get("size") or 0)
        return {version: files for version, files in sorted(found.items()) if FILE_NAME in files}

    def manifests(self, kind: Kind, versions: Iterable[str]) -> Mapping[str, bytes]:
        """See Backend: fetched side by side where the driver can."""
        keys = {self._key(kind, version, FILE_NAME): version for version in versions}
        if not keys:
            return {}
        with _reached(self.location):
            got = self._fs.cat(list(keys), on_error="return")
        missing = (FileNotFoundError, KeyError)
        for content in got.values():
            if isinstance(content, Exception) and not isinstance(content, missing):
                raise StoreUnreachable(f"{self.location}: {content}") from content
        return {keys[key]: content for key, content in got.items() if isinstance(content, bytes)}

    def holds(self, kind: Kind, version: str) -> bool:
        """See Backend."""
        return bool(self._listing(self._key(kind, version)))

    def bring(self, kind: Kind, version: str, manifest: Manifest, written: bytes) -> Path:
        """See Backend. One process at a time fetches; what a killed one had whole is kept.

        Raises:
            ModelDamaged: a file is missing there or is not what the manifest says.
        """
        target = self.folder / kind / version
        with self._alone(kind, version):
            if _is_copy(target, written):
                return target
            staged = target.with_name(f".{version}.fetching")
            staged.mkdir(parents=True, exist_ok=True)
            try:
                self._fetch_all(kind, version, manifest, staged)
            except weights.BadFile as bad:
                shutil.rmtree(staged, ignore_errors=True)
                raise ModelDamaged(f"{kind} {version!r}: {bad} (in {self.location})") from None
            (staged / FILE_NAME).write_bytes(written)
            folder.flush(staged)
            shutil.rmtree(target, ignore_errors=True)
            staged.rename(target)
            folder.sync(target.parent)
        return target

    def _fetch_all(self, kind: Kind, version: str, manifest: Manifest, staged: Path) -> None:
        for name, path in list(folder.files(staged)):
            entry = manifest.files.get(name)
            if entry is None or path.stat().st_size != entry.size:
                path.unlink()
        for name, entry in manifest.files.items():
            path = staged / name
            if not (path.is_file() and folder.hash_file(path) == entry.sha256):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._fetch(self._key(kind, version, name), name, entry, path)

    def _fetch(self, key: str, name: str, entry: FileEntry, path: Path) -> None:
        """One file, hashed as it comes; never more bytes than its manifest says."""
        digest, size = hashlib.sha256(), 0
        with _reached(self.location), contextlib.ExitStack() as stack:
            try:
                source = stack.enter_context(self._fs.open(key, "rb", block_size=_CHUNK_BYTES))
            except FileNotFoundError:
                raise weights.BadFile(name, "missing") from None
            target = stack.enter_context(path.open("wb"))
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > entry.size:
                    raise weights.BadFile(name, f"over the {entry.size} bytes of the manifest")
                digest.update(chunk)
                target.write(chunk)
        if size != entry.size:
            raise weights.BadFile(name, f"{size} bytes where the manifest says {entry.size}")
        if digest.hexdigest() != entry.sha256:
            raise weights.BadFile(name, folder.altered(digest.hexdigest(), entry))

    def forget(self, kind: Kind, version: str) -> bool:
        """See Backend."""
        with self._alone(kind, version):
            shutil.rmtree(self.folder / kind / version, ignore_errors=True)
        return True

    def settle(self, staged: Path, kind: Kind, version: str, *, replace: bool) -> Path:
        """See Backend: claim, files, manifest; the staged folder becomes the cached copy."""
        manifest = (staged / FILE_NAME).read_bytes()
        claim = {"by": f"{socket.gethostname()}:{os.getpid()}", "at": datetime.now(UTC).isoformat()}
        name = f"{kind}/{version}/{CLAIM}"
        if not self.create(name, json.dumps(claim).encode()):
            if not replace:
                raise ModelExists(
                    f"{kind} {version!r} in {self.location} is being published, or its publisher "
                    "was cut off; replace it, or let gc remove it"
                )
        elif not replace and self.manifests(kind, [version]):
            self._delete(self._key(name))
            raise ModelExists(f"{kind} {version!r} is in the store already ({self.location})")
        if replace:
            self._wipe(kind, version)
        with _reached(self.location):
            for path_name, path in folder.files(staged):
                self._fs.put_file(str(path), self._key(kind, version, path_name))
            self._fs.pipe_file(self._key(kind, version, FILE_NAME), manifest)
        self._index(kind).put(version, manifest)
        self._delete(self._key(name))
        return self._adopt(staged, kind, version)

    def _adopt(self, staged: Path, kind: Kind, version: str) -> Path:
        target = self.folder / kind / version
        with self._alone(kind, version):
            shutil.rmtree(target, ignore_errors=True)
            staged.rename(target)
            folder.sync(target.parent)
        return target

    def remove(self, kind: Kind, version: str) -> None:
        """See Backend; the cached copy goes too."""
        self._index(kind).drop(version)
        self._wipe(kind, version)
        self._delete(self._key(kind, version, CLAIM))
        # An index that was rebuilt meanwhile may have found it once more.
        self._index(kind).drop(version)
        self.forget(kind, version)

    def _wipe(self, kind: Kind, version: str) -> None:
        """Delete a version's files but its claim; the manifest first: then it is none at once."""
        manifest = self._key(kind, version, FILE_NAME)
        self._delete(manifest)
        for path in self._listing(self._key(kind, version)):
            if path not in {manifest, self._key(kind, version, CLAIM)}:
                self._delete(path)

    def create(self, name: str, content: bytes) -> bool:
        """See Backend: by an exclusive write."""
        with _reached(self.location):
            try:
                self._fs.pipe_file(self._key(name), content, mode="create")
            except OSError as error:
                # S3: the object is there (412), or another such write is under way (409).
                if isinstance(error, FileExistsError) or _refused(error):
                    return False
                raise
        return True

    def read(self, name: str) -> bytes:
        """See Backend."""
        with _reached(self.location):
            try:
                content: bytes = self._fs.cat_file(self._key(name))
            except FileNotFoundError:
                raise ModelNotFound(f"no {name} in {self.location}") from None
        return content

    def names(self, folder: str) -> list[str]:
        """See Backend."""
        prefix = self._key(folder) + "/"
        below = {path.removeprefix(prefix).split("/")[0] for path in self._listing(prefix[:-1])}
        return sorted(name for name in below if not name.startswith("."))

    def leftovers(self) -> list[Leftover]:
        """See Backend: versions without a manifest, and unfinished fetches to this machine."""
        found = []
        for kind in get_args(Kind):
            found += self._unfinished(kind)
            place = self.folder / kind
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                if path.is_dir() and path.name.startswith("."):
                    age = datetime.now(UTC).timestamp() - path.stat().st_mtime
                    found.append(Leftover(f"cache {kind}/{path.name}", age, f"file://{path}"))
        return found

    def _unfinished(self, kind: Kind) -> list[Leftover]:
        finished, latest = set(self.sizes(kind)), dict[str, float]()
        prefix = self._key(kind) + "/"
        for path, info in self._listing(self._key(kind)).items():
            version = path.removeprefix(prefix).split("/")[0]
            if version not in finished:
                latest[version] = max(latest.get(version, 0.0), _written(info))
        now = datetime.now(UTC).timestamp()
        return [
            Leftover(f"{kind}/{version}", now - written, prefix + version)
            for version, written in sorted(latest.items())
        ]

    def discard(self, leftover: Leftover) -> None:
        """See Backend."""
        if leftover.path.startswith("file://"):
            shutil.rmtree(leftover.path.removeprefix("file://"), ignore_errors=True)
            return
        for path in self._listing(leftover.path):
            self._delete(path)

    def _listing(self, path: str) -> dict[str, Any]:
        """All files below a path, with what the driver knows of each."""
        with _reached(self.location):
            self._fs.invalidate_cache()
            found: dict[str, Any] = self._fs.find(path, detail=True)
            return found

    def erase(self, name: str) -> None:
        """See index.Records."""
        self._delete(self._key(name))

    def _delete(self, path: str) -> None:
        with _reached(self.location), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(path)

    @contextlib.contextmanager
    def _alone(self, kind: Kind, version: str) -> Iterator[None]:
        """Hold the lock of a cached version; the kernel frees it with its holder."""
        place = self.folder / kind
        place.mkdir(parents=True, exist_ok=True)
        lock = os.open(place / f".{version}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _open(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise StoreUnreachable(f"{url}: a store at a URL needs rstar[s3]") from error
    try:
        # Another process' writes must be seen at once, and sessions belong to their thread.
        fs, root = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        raise StoreUnreachable(f"{url}: {error}") from error
    return fs, root.rstrip("/")


@contextlib.contextmanager
def _reached(location: str) -> Iterator[None]:
    """Turn a driver's failures into one error that names the place."""
    try:
        yield
    except Exception as error:
        if isinstance(error, weights.BadFile) or type(error).__module__ == ModelNotFound.__module__:
            raise
        raise StoreUnreachable(f"{location}: {type(error).__name__}: {error}") from error


def _refused(error: OSError) -> bool:
    cause = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", "")
    return error.errno == errno.EEXIST or cause in {
        "PreconditionFailed",
        "ConditionalRequestConflict",
    }


def _is_copy(target: Path, written: bytes) -> bool:
    """Whether a cached folder was fetched for this very manifest."""
    try:
        return (target / FILE_NAME).read_bytes() == written
    except (FileNotFoundError, NotADirectoryError):
        return False


def _written(info: Mapping[str, Any]) -> float:
    """When a remote file was last written, in seconds since 1970; 0 where the driver cannot say."""
    for name in ("LastModified", "last_modified", "mtime", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0
