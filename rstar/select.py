"""`rstar select`: the trees of harvests become rows that a policy and a PPM are trained on."""

import json as jsonlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trainer.rounds.config import Selection
    from trainer.rounds.results import Selected

REFUSED = 2


def select(
    harvests: Annotated[
        list[Path],
        typer.Argument(exists=True, file_okay=False, help="Folders of `rstar harvest`."),
    ],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Gets solutions.parquet and groups.parquet.")
    ],
    solutions: Annotated[
        list[str] | None,
        typer.Option(
            help="Rules for the policy's solutions.",
            show_default="per_problem=2,max_tokens=2048,easy_per_other=0",
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            help="Rules for the PPM's pairs.",
            show_default="per_side=2,alone_against=4,min_margin=0,min_edits=0,last_steps=false",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose solutions and preference pairs among all that harvests found.

    Exit codes: 0 done; 2 bad options, or nothing to learn from.
    """
    from trainer.harvest.parts import DamagedPart
    from trainer.harvest.run import BadRun
    from trainer.rounds.selecting import select as choose
    from trainer.training.files import BadData

    rules = _selection(solutions or (), pairs or ())
    try:
        found = choose(harvests, rules, out)
    except (BadRun, DamagedPart, BadData) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(REFUSED) from None
    if json:
        typer.echo(jsonlib.dumps(found.model_dump(), indent=2))
    else:
        _show(found, out)


def _selection(solutions: Iterable[str], pairs: Iterable[str]) -> "Selection":
    from pydantic import ValidationError

    from trainer.rounds.config import Selection

    try:
        return Selection(solutions=_rules(solutions), pairs=_rules(pairs))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise typer.BadParameter(f"--{where}: {fault['msg']}") from None


def _rules(words: Iterable[str]) -> dict[str, int | float | bool]:
    """Rules of words such as `per_side=4,last_steps=true`."""
    rules: dict[str, int | float | bool] = {}
    for word in (part for text in words for part in re.split(r"[,\s]+", text) if part):
        name, equals, value = word.partition("=")
        try:
            number = jsonlib.loads(value)
        except ValueError:
            number = None
        if not equals or not isinstance(number, int | float):
            raise typer.BadParameter(f"{word}: a rule is NAME=NUMBER, or NAME=true or false")
        rules[name] = number
    return rules


def _show(found: "Selected", out: Path) -> None:
    pairs = ", ".join(f"{count} of {kind}s" for kind, count in sorted(found.pairs.items()))
    typer.echo(f"{found.solutions} solutions, {found.groups} groups with pairs: {pairs}")
    for rule, count in sorted(found.dropped.items()):
        if count:
            typer.echo(f"  dropped, {rule}: {count}")
    typer.echo(str(out))
