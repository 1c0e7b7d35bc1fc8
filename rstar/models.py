"""`rstar models`: the catalog and the store, and everything that changes the store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn, get_args

import typer

from rstar import model_views
from rstar import promote as promotion
from services.common.models.aliases import PRODUCTION, Move
from services.common.models.catalog import CATALOG, UnknownModel, find
from services.common.models.errors import ModelError
from services.common.models.manifest import Kind
from services.common.models.store import ModelStore

app = typer.Typer(help="Models: the catalog and the store.", no_args_is_help=True)

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="RSTAR_STORE",
        help="Model store: a folder, or a URL such as s3://bucket/models; by default the folder in "
        "RSTAR_HOME.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KindOption = Annotated[Kind, typer.Option("--kind", help="Of the model.")]
RedisOption = Annotated[
    str | None,
    typer.Option("--redis-url", envvar="RSTAR_SEARCH_REDIS_URL", help="The searches' Redis."),
]


@app.command("list")
def list_models(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the catalog and what is in the store; `verify` also reads the files."""
    with _faults():
        rows = model_views.rows(ModelStore(store))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        model_views.table(rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A model of the catalog or the store, or an alias.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's sources and its manifest."""
    models = ModelStore(store)
    entry = next((entry for entry in CATALOG if entry.name == name), None)
    with _faults():
        targets = [(kind, models.resolve(kind, name)) for kind in get_args(Kind)]
        held = [
            models.manifest(kind, version)
            for kind, version in targets
            if version in models.versions(kind)
        ]
    if entry is None and not held:
        _fail(model_views.unknown(models, name))
    catalog = model_views.catalog(entry) if entry else None
    fields = [manifest.model_dump(mode="json", exclude_none=True) for manifest in held]
    if as_json:
        typer.echo(json.dumps({"catalog": catalog, "store": fields}, indent=2))
        return
    if catalog:
        typer.echo(f"In the catalog:\n{json.dumps(catalog, indent=2)}")
    for manifest, each in zip(held, fields, strict=True):
        place = f"{models.location}/{manifest.kind}/{manifest.version}"
        typer.echo(f"In the store, {place}:\n{json.dumps(each, indent=2)}")


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

    with _faults():
        entry = find(name)
        with network() as net, TransferReporter() as reporter:
            stored = Puller(ModelStore(store), net, reporter).pull(entry, verify=verify)
    typer.echo(stored.path)


@app.command()
def publish(
    version: Annotated[str, typer.Argument(help="Its name in the store.")],
    folder: Annotated[
        Path, typer.Argument(help="A Hugging Face folder, a LoRA adapter's or a training's.")
    ],
    kind: KindOption = "policy",
    licence: Annotated[str | None, typer.Option(help="SPDX identifier.")] = None,
    prompt_style: Annotated[
        str | None, typer.Option(help="Of a policy: bare or few_shot_chat.")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Of a PPM: tanh(logit / scale).")] = None,
    base: Annotated[str | None, typer.Option(help="The public model it descends from.")] = None,
    parent: Annotated[
        str | None, typer.Option(help="The version it was trained from; an adapter's base.")
    ] = None,
    round_: Annotated[int | None, typer.Option("--round", help="Of self-evolution.")] = None,
    data: Annotated[Path | None, typer.Option(help="File of training data; is hashed.")] = None,
    metrics: Annotated[Path | None, typer.Option(help="JSON object of numbers.")] = None,
    store: StoreOption = None,
) -> None:
    """Put a model into the store; a LoRA adapter is merged into its parent.

    Of a training's folder its model is taken; scale and metrics are then those of its manifest.
    """
    from rstar.publish import Publication
    from rstar.publish import publish as put

    asked = Publication(
        kind, version, folder, licence, prompt_style, scale, base, parent, round_, data, metrics
    )
    with _faults():
        stored = put(ModelStore(store), asked)
    typer.echo(stored.path)


@app.command("extract-head")
def extract_head(
    ppm: Annotated[str, typer.Argument(help="A PPM of the store that was trained as a head.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    base: Annotated[str, typer.Option(help="The policy of the store whose layers it reads.")],
    version: Annotated[str, typer.Option(help="What the PPM shall be called.")],
    store: StoreOption = None,
) -> None:
    """Write the score head of a PPM alone, a few kilobytes, to be shipped with its base."""
    from services.common.models.head_extraction import extract

    models = ModelStore(store)
    with _faults():
        opened = models.open("ppm", ppm), models.open("policy", base)
        recipe = extract(*opened, version, out)
    typer.echo(f"{out}: {recipe.version}, on the first {recipe.layers} layers of {recipe.base}")


@app.command()
def alias(
    name: Annotated[str, typer.Argument(help="The alias, candidate say.")],
    version: Annotated[
        str | None, typer.Argument(help="Where it is to point; not given: print its history.")
    ] = None,
    kind: KindOption = "policy",
    reason: Annotated[str, typer.Option(help="For the history.")] = "",
    redis_url: RedisOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move an alias, or print its history: who, when, from, to."""
    models = ModelStore(store)
    with _faults():
        if version is not None:
            _tell(
                kind, name, promotion.point(models, kind, name, version, reason=reason), redis_url
            )
            return
        history = models.aliases.history(kind, name)
    if not history:
        _fail(f"no {kind} alias {name!r} in {models.location}")
    model_views.moves(history, as_json=as_json)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="A version or an alias.")] = "candidate",
    kind: KindOption = "policy",
    run: Annotated[Path | None, typer.Option(help="Folder of its evaluation.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Folder of production's evaluation on the same problems.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Pass over the gate; is logged.")] = False,
    redis_url: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Make a version production, if it is no worse on the same problems (paired test)."""
    with _faults():
        move = promotion.promote(
            ModelStore(store), kind, version, run=run, baseline=baseline, force=force
        )
        _tell(kind, PRODUCTION, move, redis_url)


@app.command()
def rollback(
    kind: KindOption = "policy",
    reason: Annotated[str, typer.Option(help="For the history.")] = "rolled back",
    redis_url: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Point production to the version that it pointed to before."""
    with _faults():
        move = promotion.rollback(ModelStore(store), kind, reason=reason)
        _tell(kind, PRODUCTION, move, redis_url)


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="A version or an alias; all of them.")] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Of the model; both.")] = None,
    store: StoreOption = None,
) -> None:
    """Read every file of a version and compare it with its manifest."""
    models, faults, seen = ModelStore(store), 0, 0
    for each in (kind,) if kind else get_args(Kind):
        with _faults():
            held = models.versions(each)
            wanted = held if name is None else [models.resolve(each, name)]
        for version in wanted:
            if name is not None and kind is None and version not in held:
                continue
            seen += 1
            try:
                models.open(each, version)
                typer.echo(f"{each}/{version}: whole")
            except ModelError as error:
                faults += 1
                typer.echo(f"{each}/{version}: {error}")
    if name is not None and not seen:
        _fail(model_views.unknown(models, name))
    raise typer.Exit(1 if faults else 0)


@app.command()
def reindex(store: StoreOption = None) -> None:
    """List a remote store's versions anew, after other tools have changed it."""
    models = ModelStore(store)
    for kind in get_args(Kind):
        with _faults():
            models.reindex(kind)
            typer.echo(f"{kind}: {len(models.versions(kind))} versions")


@app.command()
def gc(
    redis_url: RedisOption = None,
    keep: Annotated[int, typer.Option(min=0, help="Newest versions of each kind to keep.")] = 3,
    hours: Annotated[float, typer.Option(min=0, help="What is younger stays.")] = 24.0,
    apply: Annotated[bool, typer.Option("--apply", help="Remove; otherwise only say.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove versions that no alias, live search, child or catalog names, and what was left."""
    from services.common.models import gc as collector
    from services.common.models.pins import pinned

    models = ModelStore(store)
    with _faults():
        if apply and redis_url is None:
            _fail("--redis-url: live searches pin versions there ('' if there are none)")
        pins = pinned(redis_url) if redis_url else set()
        old = timedelta(hours=hours)
        sweep = collector.plan(models, pins, keep_latest=keep, older_than=old)
        if apply:
            sweep = collector.sweep(models, pinned(redis_url) if redis_url else set(), sweep)
    gone = [f"{at}/{version}" for at, version in sweep.versions]
    left = [leftover.name for leftover in sweep.leftovers]
    kept = {f"{at}/{version}": why for (at, version), why in sorted(sweep.kept.items())}
    if as_json:
        fields = {"removed": apply, "versions": gone, "leftovers": left, "kept": kept}
        typer.echo(json.dumps({**fields, "bytes": sweep.size}, indent=2))
        return
    for text, why in kept.items():
        typer.echo(f"kept     {text} ({why})")
    for text in (*gone, *left):
        typer.echo(f"{'removed ' if apply else 'would go'} {text}")


def _tell(kind: Kind, name: str, move: Move, redis_url: str | None) -> None:
    """Say where an alias points now, and nudge the services that watch it."""
    from services.common.models.nudge import nudge

    typer.echo(f"{kind} {name}: {move.before or 'nothing'} -> {move.version}")
    if redis_url:
        nudge(redis_url, kind)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (ModelError, UnknownModel, OSError, ValueError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)
