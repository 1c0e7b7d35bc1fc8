"""Where a store's bytes lie: what the store asks of a folder and of a remote file system alike."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.common.models.manifest import Kind, Manifest


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a publisher or a fetcher left behind when it was cut off.

    Attributes:
        name: as people know it.
        age_seconds: since it was last written.
        path: as the backend knows it.
    """

    name: str
    age_seconds: float
    path: str


class Backend(Protocol):
    """A place that holds versions and small records. Errors: ModelError and its kin.

    Attributes:
        location: how people name it.
        folder: on this machine, where versions are opened.
    """

    location: str
    folder: Path

    def versions(self, kind: Kind) -> list[str]:
        """Names of the finished versions, sorted."""
        ...

    def listed(self, kind: Kind) -> Mapping[str, bytes] | None:
        """All manifests from an index, fast; None where there is none to ask."""
        ...

    def reindex(self, kind: Kind) -> None:
        """Make the index anew from what is there, if this backend keeps one."""
        ...

    def sizes(self, kind: Kind) -> dict[str, dict[str, int]]:
        """Sizes in bytes of the files of every finished version, its manifest among them."""
        ...

    def manifests(self, kind: Kind, versions: Iterable[str]) -> Mapping[str, bytes]:
        """The manifests of these versions as they were written; without those that are missing."""
        ...

    def holds(self, kind: Kind, version: str) -> bool:
        """Whether anything lies under this name, finished or not."""
        ...

    def bring(self, kind: Kind, version: str, manifest: Manifest, written: bytes) -> Path:
        """The version's folder on this machine, fetched if it has to be."""
        ...

    def forget(self, kind: Kind, version: str) -> bool:
        """Drop this machine's copy, to be fetched anew; False where it is no copy."""
        ...

    def settle(self, staged: Path, kind: Kind, version: str, *, replace: bool) -> Path:
        """Give a finished folder its name, all at once or not at all; its folder on this machine.

        Raises:
            ModelExists: the name is taken.
        """
        ...

    def remove(self, kind: Kind, version: str) -> None:
        """Delete a version, its manifest first."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write a small record whole, unless there is one of this name; whether it was written."""
        ...

    def read(self, name: str) -> bytes:
        """A small record; ModelNotFound where there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names in a folder of records, sorted; none where there is no such folder."""
        ...

    def leftovers(self) -> list[Leftover]:
        """What was never finished."""
        ...

    def discard(self, leftover: Leftover) -> None:
        """Delete one of them."""
        ...
