"""`rstar evolve`: rounds of self-evolution from a configuration file."""

import json as jsonlib
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from rstar.own_services import OwnServices
    from trainer.rounds.config import EvolveConfig
    from trainer.rounds.results import RoundResult

app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=True,
    help="Evolve a policy and a PPM by their own searches, round after round. The same command "
    "goes on where it was stopped.",
)


class Exit(IntEnum):
    """Exit codes of `rstar evolve`."""

    OK = 0
    """All rounds are done."""
    REFUSED = 2
    """A bad configuration, bad data, or a folder that holds another evolution."""
    STOPPED = 4
    """It could not go on; what is done is kept, and the same command goes on from there."""


Config = Annotated[
    Path | None,
    typer.Option("--config", exists=True, dir_okay=False, help="What the evolution is made of."),
]

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="RSTAR_STORE",
        help="Model store of the services that the configuration names, a folder or a URL such as "
        "s3://bucket/models; by default the folder in RSTAR_HOME, where a stack of one's own has "
        "its models.",
    ),
]


@app.callback()
def evolve(context: typer.Context, config: Config = None, store: Store = None) -> None:
    """Run all rounds, from where an earlier run stopped.

    Exit codes: 0 all rounds are done; 2 bad configuration or data; 4 it could not go on; 130
    interrupted.
    """
    if context.invoked_subcommand is not None:
        return
    from rstar import signals

    asked = _load(config)
    if store and not asked.services.search:
        raise typer.BadParameter(
            "--store (RSTAR_STORE): a stack of one's own serves the store in RSTAR_HOME; "
            "name services.search, or leave the store away"
        )
    raise typer.Exit(signals.run(_evolve(asked, store)))


@app.command()
def status(
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Show which stages of which rounds are done."""
    from rich.console import Console
    from rich.table import Table

    from trainer.rounds.progress import read_progress
    from trainer.rounds.stage import BadStage

    asked = _load(config)
    try:
        rounds = read_progress(asked.folder, len(asked.rounds))
    except BadStage as error:
        raise typer.BadParameter(str(error)) from error
    if json:
        print(jsonlib.dumps([one.model_dump() for one in rounds], indent=2))
        return
    table = Table("round", *rounds[0].stages)
    for one in rounds:
        table.add_row(str(one.round), *(_state(done) for done in one.stages.values()))
    Console(highlight=False).print(table)


@app.command()
def report(
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON list of rounds.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder of the page; `report` in the evolution's. One in HOME/reports is linked "
            "from the live page.",
        ),
    ] = None,
) -> None:
    """Write a page with the rounds that are done: accuracy, coverage, pairs, calibration, time."""
    from rich.console import Console

    from rstar.evolve_view import table
    from trainer.rounds import report as page

    asked = _load(config)
    results = _done(asked)
    if json:
        print(jsonlib.dumps([one.model_dump(mode="json") for one in results], indent=2))
        return
    if not results:
        raise typer.BadParameter(f"{asked.folder}: no round is done yet")
    console = Console(highlight=False)
    console.print(table(results))
    written = page.write(asked.name, results, out or asked.folder / "report")
    console.print(f"the page is {written}", markup=False, soft_wrap=True)


def _state(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f} s"


def _load(config: Path | None) -> "EvolveConfig":
    from trainer.rounds.config import BadConfig, load

    if config is None:
        raise typer.BadParameter("--config: a file is needed")
    try:
        return load(config)
    except BadConfig as error:
        raise typer.BadParameter(str(error)) from error


def _done(asked: "EvolveConfig") -> "list[RoundResult]":
    from trainer.rounds.evolve import read_round
    from trainer.rounds.stage import BadStage

    try:
        found = [read_round(asked.folder, n + 1) for n in range(len(asked.rounds))]
    except BadStage as error:
        raise typer.BadParameter(str(error)) from error
    return [one for one in found if one is not None]


async def _evolve(asked: "EvolveConfig", location: str | None) -> int:
    from rich.console import Console

    from rstar.evolve_view import View, table
    from rstar.promote import who
    from services.common.models.errors import ModelError
    from services.common.models.store import ModelStore
    from trainer.evaluation.records import RunError
    from trainer.evaluation.runner import RunStopped
    from trainer.evaluation.service import ServiceAbsent
    from trainer.harvest.fleet import FleetDown
    from trainer.harvest.parts import DamagedPart
    from trainer.harvest.queue import QueueDown
    from trainer.harvest.run import BadRun
    from trainer.problems.problem import BadProblems
    from trainer.rounds.evolve import Evolution
    from trainer.rounds.learning import TrainingFailed
    from trainer.rounds.measuring import MeasuringFailed
    from trainer.rounds.named_services import NamedServices
    from trainer.rounds.services import Services, ServicesAbsent
    from trainer.rounds.stage import BadStage
    from trainer.training.files import BadData

    refused = (BadStage, BadRun, BadProblems, BadData, ModelError)
    stopped = (
        *(ServicesAbsent, ServiceAbsent, RunStopped, RunError),
        *(DamagedPart, QueueDown, FleetDown, TrainingFailed, MeasuringFailed),
    )
    err = Console(stderr=True, highlight=False)
    store = ModelStore(location)
    try:
        with View(err) as view:
            services: Services = (
                NamedServices(asked.services, store, who())
                if asked.services.search
                else _own(asked, err)
            )
            results = await Evolution(asked, store, services, view, who()).run()
    except (*refused, *stopped) as error:
        err.print(f"rstar: {error}", style="red", markup=False, soft_wrap=True)
        return Exit.REFUSED if isinstance(error, refused) else Exit.STOPPED
    Console(highlight=False).print(table(results))
    return Exit.OK


def _own(asked: "EvolveConfig", console: "Console") -> "OwnServices":
    from rstar.own_services import OwnServices
    from rstar.stack.config import StackConfig

    def note(text: str) -> None:
        console.print(text, style="dim", markup=False, soft_wrap=True)

    return OwnServices(StackConfig(), asked.services.environment, note)
