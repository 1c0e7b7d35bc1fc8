"""`rstar models`: what can be downloaded, what is in the store, and bringing one to the other."""

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

import typer
from rich.console import Console
from rich.table import Table

from services.common.models.catalog import CATALOG, CatalogEntry, UnknownModel, find
from services.common.models.manifest import Kind, Manifest
from services.common.models.store import ModelDamaged, ModelError, ModelNotFound, ModelStore

app = typer.Typer(help="Models: the catalog and the store.", no_args_is_help=True)

StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Model store; by default the one in RSTAR_HOME.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the catalog and what is in the store."""
    models = ModelStore(store)
    rows = [_row(models, entry.kind, entry.name) for entry in CATALOG]
    names = {(entry.kind, entry.name) for entry in CATALOG}
    rows += [
        _row(models, kind, version)
        for kind in get_args(Kind)
        for version in models.versions(kind)
        if (kind, version) not in names
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("NAME", "KIND", "LICENCE", "DOWNLOAD", "STORED", "STATE"):
        right = heading in {"DOWNLOAD", "STORED"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        sizes = (_megabytes(row["download_bytes"]), _megabytes(row["stored_bytes"]))
        table.add_row(row["name"], row["kind"], row["licence"], *sizes, row["state"])
    Console(soft_wrap=True).print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A model of the catalog or the store.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's sources and its manifest."""
    models = ModelStore(store)
    entry = next((entry for entry in CATALOG if entry.name == name), None)
    kinds: list[Kind] = [kind for kind in get_args(Kind) if name in models.versions(kind)]
    if entry is None and not kinds:
        _fail(_unknown(models, name))
    try:
        manifests = [models.manifest(kind, name) for kind in kinds]
    except ModelError as error:
        _fail(str(error))
    catalog = _catalog(entry) if entry else None
    held = [manifest.model_dump(mode="json", exclude_none=True) for manifest in manifests]
    if as_json:
        typer.echo(json.dumps({"catalog": catalog, "store": held}, indent=2))
        return
    if catalog:
        typer.echo(f"In the catalog:\n{json.dumps(catalog, indent=2)}")
    for manifest, fields in zip(manifests, held, strict=True):
        typer.echo(f"In the store, {models.path(manifest.kind, name)}:")
        typer.echo(json.dumps(fields, indent=2))


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A model of the catalog.")],
    store: StoreOption = None,
    verify: Annotated[
        bool, typer.Option(help="Compare checksums of a model that is there, not only sizes.")
    ] = True,
) -> None:
    """Bring a model of the catalog into the store, unless it is there."""
    # Only here: the other commands need no network and start faster without it.
    from rstar.transfer import TransferReporter
    from services.common.models.pull import Puller
    from services.common.models.sources import network

    try:
        entry = find(name)
        with network() as net, TransferReporter() as reporter:
            stored = Puller(ModelStore(store), net, reporter).pull(entry, verify=verify)
    except (ModelError, UnknownModel, OSError) as error:
        _fail(str(error))
    typer.echo(stored.path)


def _row(models: ModelStore, kind: Kind, name: str) -> dict[str, Any]:
    """One line of the list; sizes are of the catalog's file and of the version in the store."""
    entry = next((entry for entry in CATALOG if (entry.kind, entry.name) == (kind, name)), None)
    manifest: Manifest | None = None
    try:
        manifest = models.open(kind, name, verify=False).manifest
        state = "in the store"
    except ModelNotFound:
        state = "not pulled"
    except ModelDamaged as error:
        state = f"damaged: {error}"
    known = entry or manifest
    return {
        "name": name,
        "kind": kind,
        "licence": known.licence if known else "",
        "download_bytes": entry.size if entry else None,
        "stored_bytes": manifest.size if manifest else None,
        "state": state,
    }


def _catalog(entry: CatalogEntry) -> dict[str, Any]:
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


def _unknown(models: ModelStore, name: str) -> str:
    catalog = ", ".join(entry.name for entry in CATALOG)
    held = ", ".join(f"{k}/{v}" for k in get_args(Kind) for v in models.versions(k)) or "nothing"
    return f"no model {name!r}; the catalog has {catalog}; the store has {held}"


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:,.0f} MB"


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)
