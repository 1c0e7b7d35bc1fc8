"""What of a store may go: versions that nothing needs, and what was never finished."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args

from services.common.models.backend import Leftover
from services.common.models.catalog import CATALOG
from services.common.models.manifest import Kind, Manifest
from services.common.models.store import ModelStore


@dataclass(frozen=True, slots=True)
class Sweep:
    """What would be removed.

    Attributes:
        versions: kind and name of versions.
        leftovers: of publishers and fetchers that were cut off.
        size: of the versions together, in bytes.
        kept: why each other version stays.
    """

    versions: list[tuple[Kind, str]]
    leftovers: list[Leftover]
    size: int
    kept: dict[tuple[Kind, str], str]


def plan(
    store: ModelStore,
    pinned: Collection[tuple[Kind, str]],
    *,
    keep_latest: int = 3,
    older_than: timedelta = timedelta(days=1),
) -> Sweep:
    """What may go.

    Kept are versions that an alias names (`previous` too), that a live search has pinned, that any
    manifest names as its parent or its adapter's base, that can be pulled from the catalog, that
    are among the newest of their kind, or that are young: their publisher may be about to point an
    alias to them. A version that cannot be read is kept: a person should look at it.

    Args:
        store: looked at, not changed.
        pinned: see pins.pinned.
        keep_latest: newest versions of each kind that stay.
        older_than: what is younger stays.
    """
    kept: dict[tuple[Kind, str], str] = {}
    gone: list[tuple[Kind, str]] = []
    size = 0
    born = datetime.now(UTC) - older_than
    for kind in get_args(Kind):
        manifests = store.manifests(kind, counted=True)
        whole = {name: one for name, one in manifests.items() if isinstance(one, Manifest)}
        reasons = _reasons(store, kind, whole, pinned, keep_latest)
        for name, manifest in manifests.items():
            if not isinstance(manifest, Manifest):
                kept[kind, name] = "damaged"
            elif (why := reasons.get(name)) is not None:
                kept[kind, name] = why
            elif manifest.created > born:
                kept[kind, name] = "young"
            else:
                gone.append((kind, name))
                size += manifest.size
    seconds = older_than.total_seconds()
    leftovers = [one for one in store.backend.leftovers() if one.age_seconds >= seconds]
    return Sweep(gone, leftovers, size, kept)


def sweep(store: ModelStore, pinned: Collection[tuple[Kind, str]], planned: Sweep) -> Sweep:
    """Remove what was planned, but for what has come to be needed since; what was removed.

    Args:
        store: changed.
        pinned: as of now.
        planned: what may go; its sizes are those of the plan.
    """
    removed: list[tuple[Kind, str]] = []
    for kind in get_args(Kind):
        manifests = store.manifests(kind, counted=True)
        whole = {name: one for name, one in manifests.items() if isinstance(one, Manifest)}
        needed = _reasons(store, kind, whole, pinned, keep_latest=0)
        for version in [version for at, version in planned.versions if at == kind]:
            # An alias moves in a moment, while a thousand manifests take a while to read.
            named = set(store.aliases.of(kind).values())
            if version in whole and version not in needed.keys() | named:
                store.backend.remove(kind, version)
                removed.append((kind, version))
    unfinished = {leftover.path for leftover in store.backend.leftovers()}
    leftovers = [leftover for leftover in planned.leftovers if leftover.path in unfinished]
    for leftover in leftovers:
        store.backend.discard(leftover)
    for kind in get_args(Kind):
        store.reindex(kind)
    return Sweep(removed, leftovers, planned.size, planned.kept)


def _reasons(
    store: ModelStore,
    kind: Kind,
    manifests: dict[str, Manifest],
    pinned: Collection[tuple[Kind, str]],
    keep_latest: int,
) -> dict[str, str]:
    """Why versions of a kind stay; the strongest reason of each."""
    newest = sorted(manifests, key=lambda name: manifests[name].created, reverse=True)
    reasons = dict.fromkeys(newest[:keep_latest] if keep_latest else [], "among the newest")
    reasons |= {entry.name: "in the catalog" for entry in CATALOG if entry.kind == kind}
    for name, manifest in manifests.items():
        parents = {manifest.parent, manifest.adapter.base if manifest.adapter else None}
        reasons |= {parent: f"parent of {name}" for parent in parents if parent}
    reasons |= {version: "pinned by a search" for at, version in pinned if at == kind}
    return reasons | {version: f"alias {name}" for name, version in store.aliases.of(kind).items()}
