"""What `rstar models` prints: rows of the list, the catalog's entries, histories."""

import json
from collections.abc import Mapping
from typing import Any, get_args

import typer
from rich.console import Console
from rich.table import Table

from services.common.models.aliases import Move
from services.common.models.catalog import CATALOG, CatalogEntry
from services.common.models.errors import ModelDamaged
from services.common.models.manifest import Kind, Manifest
from services.common.models.store import ModelStore

Held = Mapping[str, Manifest | ModelDamaged]


def rows(models: ModelStore) -> list[dict[str, Any]]:
    """The catalog and the store, one line a model; files are not looked at."""
    held = {kind: models.manifests(kind) for kind in get_args(Kind)}
    names = {(entry.kind, entry.name) for entry in CATALOG}
    found = [row(held[entry.kind], entry.kind, entry.name) for entry in CATALOG]
    for kind, manifests in held.items():
        found += [row(manifests, kind, name) for name in manifests if (kind, name) not in names]
    aliases = {kind: models.aliases.of(kind) for kind in held}
    for each in found:
        targets = aliases[each["kind"]].items()
        each["aliases"] = sorted(alias for alias, version in targets if version == each["name"])
    return found


def row(held: Held, kind: Kind, name: str) -> dict[str, Any]:
    """One line of the list; sizes are of the catalog's file and of the version in the store."""
    entry = next((entry for entry in CATALOG if (entry.kind, entry.name) == (kind, name)), None)
    found = held.get(name)
    manifest = found if isinstance(found, Manifest) else None
    known = entry or manifest
    state = "not pulled" if found is None else "in the store"
    return {
        "name": name,
        "kind": kind,
        "licence": known.licence if known else "",
        "download_bytes": entry.size if entry else None,
        "stored_bytes": manifest.size if manifest else None,
        "state": f"damaged: {found}" if isinstance(found, ModelDamaged) else state,
    }


def table(found: list[dict[str, Any]]) -> None:
    """Print the list for people."""
    view = Table(box=None, pad_edge=False)
    for heading in ("NAME", "KIND", "LICENCE", "DOWNLOAD", "STORED", "ALIASES", "STATE"):
        right = heading in {"DOWNLOAD", "STORED"}
        view.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for each in found:
        sizes = (_megabytes(each["download_bytes"]), _megabytes(each["stored_bytes"]))
        names = ", ".join(each["aliases"]) or "-"
        view.add_row(each["name"], each["kind"], each["licence"], *sizes, names, each["state"])
    Console(soft_wrap=True).print(view)


def catalog(entry: CatalogEntry) -> dict[str, Any]:
    """An entry of the catalog."""
    return {
        "name": entry.name,
        "kind": entry.kind,
        "base": entry.base,
        "licence": entry.licence,
        "prompt_style": entry.prompt_style,
        "parameters": entry.parameters,
        "download_bytes": entry.size,
        "sha256": entry.sha256,
        "sources": [source.uri for source in entry.sources],
    }


def unknown(models: ModelStore, name: str) -> str:
    """What to say of a name that nobody knows."""
    known = ", ".join(entry.name for entry in CATALOG)
    held = ", ".join(f"{k}/{v}" for k in get_args(Kind) for v in models.versions(k)) or "nothing"
    return f"no model {name!r}; the catalog has {known}; the store has {held}"


def moves(history: list[Move], *, as_json: bool) -> None:
    """Print an alias' history, the last move first."""
    latest = history[::-1]
    if as_json:
        typer.echo(json.dumps([move.model_dump(mode="json") for move in latest], indent=2))
        return
    for move in latest:
        forced = " (forced)" if move.forced else ""
        reason = f": {move.reason}" if move.reason else ""
        typer.echo(
            f"{move.at:%Y-%m-%d %H:%M:%S}  {move.before or '-'} -> {move.version}  "
            f"by {move.by}{forced}{reason}"
        )


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:,.0f} MB"
