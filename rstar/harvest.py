"""`rstar harvest`: searches problems with known answers and keeps every tree, for training."""

import json as jsonlib
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from trainer.harvest.harvest import Harvest
    from trainer.problems.problem import Problem


class Exit(IntEnum):
    """Exit codes of `rstar harvest`."""

    OK = 0
    """Every search is done."""
    FAILED = 1
    """Every search is done, and some gave no result; the parts say why."""
    REFUSED = 2
    """Bad options, bad data, or a folder that holds another harvest."""
    STOPPED = 4
    """It could not go on; what is done is kept, and the same command goes on from there."""


def harvest(
    problems: Annotated[
        str,
        typer.Argument(
            help="A file (JSON lines, JSON, parquet) or a data set of the Hugging Face hub "
            "(owner/name, or owner/name:config:split; the split is train where none is given)."
        ),
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the harvest.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Searches of each problem.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="From which all seeds are derived.")] = 0,
    name: Annotated[
        str,
        typer.Option(
            help="Of the queue in Redis, where something else has to know it; no other harvest may "
            "have it.",
            show_default="one that nobody else has",
        ),
    ] = "",
    round_: Annotated[
        int, typer.Option("--round", min=0, help="Round of self-evolution, for the rows.")
    ] = 0,
    terminal_guided: Annotated[
        bool,
        typer.Option(help="Tell the search the right answer (rounds 1 and 2 of the paper)."),
    ] = False,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            help="Of one search: rollouts=...,tokens=...,seconds=....",
            show_default="tokens=1600,rollouts=10000,seconds=600",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Shape of the search: candidates=4,depth=...,exploration=...,temperature=...,"
            "parallel=...,expansion=step|trajectory.",
            show_default="the service's own",
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(envvar="RSTAR_SEARCH_TARGET", help="gRPC target of the search service.")
    ] = "127.0.0.1:50050",
    redis_url: Annotated[
        str,
        typer.Option(
            envvar="RSTAR_HARVEST_REDIS_URL",
            help="Redis of the queue.",
            show_default="the one of `rstar up` on this machine",
        ),
    ] = "",
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=256,
            help="Processes here; 0: only those that `python -m trainer.harvest` is.",
        ),
    ] = 1,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1024, help="Searches at once of each process.")
    ] = 8,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search problems with known answers and keep every tree as parquet, for training.

    The same command goes on where it was cut off; finished searches are never done again. Exit
    codes: 0 every search is done; 1 some gave no result; 2 bad options or data; 4 it could not go
    on; 130 interrupted.
    """
    from rstar import signals
    from services.common.home import home
    from trainer.evaluation.methods import BadMethod, parse_methods
    from trainer.harvest.harvest import Harvest
    from trainer.problems.problem import BadProblems

    try:
        given = _problems(problems, limit)
        (method,) = parse_methods(["search"], budget or [], set_ or [], seed)
    except (BadMethod, BadProblems) as error:
        raise typer.BadParameter(str(error)) from error
    asked = Harvest(
        problems=given,
        out=out.absolute(),
        settings={
            "budget": dict(method.budget),
            "options": dict(method.options),
            "seed": seed,
            "seeds": seeds,
            "round": round_,
            "terminal_guided": terminal_guided,
            **({"name": name} if name else {}),
        },
        redis_url=redis_url or f"unix://{home() / 'redis' / 'redis.sock'}",
        target=target,
        workers=workers,
        worker={"concurrency": concurrency},
    )
    raise typer.Exit(signals.run(_harvest(asked, as_json=json)))


def _problems(name: str, limit: int | None) -> "list[Problem]":
    from trainer.problems.files import SUFFIXES, read_problems
    from trainer.problems.hub import read_dataset
    from trainer.problems.problem import BadProblems

    path = Path(name).expanduser()
    if path.suffix.lower() in SUFFIXES:
        return read_problems(path, limit)
    dataset, *rest = name.split(":")
    if dataset.count("/") != 1 or len(rest) > 2:
        raise BadProblems(f"{name!r}: neither a file ({', '.join(SUFFIXES)}) nor owner/name")
    config, split = [*rest, "", ""][:2]
    return read_dataset(dataset, (config,), split or "train", limit)


async def _harvest(asked: "Harvest", *, as_json: bool) -> int:
    from rich.console import Console

    from rstar.harvest_view import View, summary_table
    from trainer.harvest.fleet import FleetDown
    from trainer.harvest.harvest import harvest as run_harvest
    from trainer.harvest.parts import DamagedPart
    from trainer.harvest.queue import QueueDown
    from trainer.harvest.run import BadRun

    err = Console(stderr=True, highlight=False)
    codes: dict[type[Exception], Exit] = {
        BadRun: Exit.REFUSED,
        DamagedPart: Exit.STOPPED,
        QueueDown: Exit.STOPPED,
        FleetDown: Exit.STOPPED,
    }
    try:
        with View(err) as view:
            summary = await run_harvest(asked, view)
    except tuple(codes) as error:
        err.print(f"rstar: {error}", style="red", markup=False, soft_wrap=True)
        return codes[type(error)]
    document: dict[str, Any] = {**summary.model_dump(), "out": str(asked.out)}
    if as_json:
        print(jsonlib.dumps(document, indent=2))
    else:
        console = Console(highlight=False)
        console.print(summary_table(summary))
        size = f"{summary.bytes / 1e6:.1f} MB in {summary.parts} parts"
        text = f"{summary.nodes} nodes, {summary.tokens} tokens, {summary.failed} failed, {size}"
        console.print(text, markup=False)
    return Exit.FAILED if summary.failed else Exit.OK
