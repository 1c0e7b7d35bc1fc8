"""`rstar keys`: API keys of a search service, for whoever has one with the scope `admin`."""

import json as jsonlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rstar.client import ApiKey, Client

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke API keys. The service's own admin key is in its settings; show it, "
    "or a key with the scope admin, in RSTAR_API_KEY.",
)

Result = TypeVar("Result")
DAY_SECONDS = 86_400.0

Url = Annotated[
    str | None,
    typer.Option(envvar="RSTAR_URL", help="The service.", show_default="http://127.0.0.1:8000"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class Scope(StrEnum):
    """What a key allows."""

    solve = "solve"
    admin = "admin"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it allows; may be given twice.", show_default="solve"),
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=0, help="Its rate; 0: no limit. The service's by default.")
    ] = None,
    searches: Annotated[
        int | None, typer.Option(min=0, help="Its searches at once; 0: no limit.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="Days until it expires; never by default.")] = (
        None
    ),
    url: Url = None,
    json: Json = False,
) -> None:
    """Make a key and print it: it is shown this once and kept nowhere."""
    scopes = [one.value for one in scope or [Scope.solve]]
    seconds = None if days is None else days * DAY_SECONDS

    def make(client: "Client") -> None:
        key = client.create_key(
            name,
            scopes=scopes,
            requests_per_minute=requests_per_minute,
            searches=searches,
            expires_in_seconds=seconds,
        )
        print(key.model_dump_json(indent=2) if json else key.key)

    _with_client(url, make)


@app.command("list")
def show(url: Url = None, json: Json = False) -> None:
    """List all keys, the oldest first."""
    from rich.console import Console

    keys = _with_client(url, lambda client: client.keys())
    if json:
        print(jsonlib.dumps([key.model_dump() for key in keys], indent=2))
        return
    Console(highlight=False).print(_table(keys))


def _table(keys: "list[ApiKey]") -> object:
    from rich.table import Table

    table = Table("id", "name", "scopes", "a minute", "at once", "created", "expires", "last used")
    for key in keys:
        limits = (str(limit or "no limit") for limit in (key.requests_per_minute, key.searches))
        moments = (_moment(at) for at in (key.created, key.expires, key.last_used))
        table.add_row(key.id, key.name, " ".join(key.scopes), *limits, *moments)
    return table


def _moment(at: float | None) -> str:
    return "never" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id of the key, as in the list.")],
    url: Url = None,
) -> None:
    """End a key at once; searches that it began run on."""
    _with_client(url, lambda client: client.revoke_key(key_id))


def _with_client(url: str | None, do: "Callable[[Client], Result]") -> Result:
    """What an action on the service gives; ends the command with one line where it fails."""
    from rstar.client import DEFAULT_URL, Client, ClientError

    try:
        with Client(url or DEFAULT_URL) as client:
            return do(client)
    except (ClientError, ValueError) as error:
        typer.secho(f"rstar: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
