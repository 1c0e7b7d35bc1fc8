"""`rstar eval`: accuracy and cost of answering methods on problems with known answers."""

import contextlib
import dataclasses
import json as jsonlib
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rich.console import Console

    from trainer.evaluation.evaluate import Evaluation
    from trainer.evaluation.suites import Source

app = typer.Typer(invoke_without_command=True, add_completion=False)


class Exit(IntEnum):
    """Exit codes of `rstar eval`."""

    OK = 0
    """Every problem has a result."""
    FAILED = 1
    """Some problems failed; they are counted, and the same command tries them again."""
    REFUSED = 2
    """Bad options, bad data, or a folder that holds another run."""
    UNREACHABLE = 3
    """Nothing answers at the target."""
    STOPPED = 4
    """The run could not go on; what is done is kept."""


@app.callback()
def evaluate(
    context: typer.Context,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="Benchmarks (see `rstar eval suites`), files (JSON lines, JSON, parquet) or data "
            "sets of the Hugging Face hub (owner/name); several by commas.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="RSTAR_DATA",
            help="Folder in which benchmarks are looked for, before the hub; or one file, as by "
            "--suite.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="greedy, majority@K and best_of_n@K (K independent solutions), beam@WIDTH or "
            "mcts; several by commas.",
            show_default="greedy,mcts",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    shuffle: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Take the problems in the random order of this seed: however far a run has come, "
            "it is then a fair sample.",
            show_default="in the order of the data",
        ),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            help="Of one problem: tokens=1600,rollouts=...,seconds=...; greedy, majority@K and "
            "best_of_n@K end with their samples and take the seconds only.",
            show_default="tokens=1600,rollouts=10000,seconds=600",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Shape of the search: candidates=4,depth=...,exploration=...,temperature=...,"
            "parallel=...,trees=...,confidence=...,answer=best|majority|weighted,"
            "expansion=step|trajectory.",
            show_default="the service's own",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all sampling.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Where each run gets a folder; the same command goes on from what that holds.",
            show_default="evaluations in the home folder",
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(envvar="RSTAR_SEARCH_TARGET", help="gRPC target of the search service.")
    ] = "127.0.0.1:50050",
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Problems at once.")] = 4,
    patience: Annotated[
        float,
        typer.Option(min=0, help="Seconds a problem waits for a service that is down or busy."),
    ] = 120.0,
    models: Annotated[
        str,
        typer.Option(
            help="Versions that must answer, with --up those that are served: "
            "policy=VERSION,ppm=VERSION.",
            show_default=False,
        ),
    ] = "",
    up: Annotated[
        bool, typer.Option("--up", help="Start a stack on free ports for it, and stop it after.")
    ] = False,
    price: Annotated[
        float, typer.Option(min=0, help="Dollars for a million new tokens of the policy.")
    ] = 0.0,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list of runs.")] = False,
) -> None:
    """Measure methods on problems with known answers: accuracy, tokens and seconds a problem.

    Problems are only read. Each run keeps a record a problem and resumes where it was cut off;
    failed problems are tried again. Exit codes: 0 every problem has a result; 1 some failed; 2 bad
    options or data; 3 nothing answers; 4 the run could not go on; 130 interrupted.
    """
    if context.invoked_subcommand is not None:
        return
    from rstar import signals
    from services.common.home import home
    from trainer.evaluation.evaluate import Evaluation
    from trainer.evaluation.methods import BadMethod, parse_methods
    from trainer.problems.problem import BadProblems

    try:
        methods = parse_methods(method or ["greedy,mcts"], budget or [], set_ or [], seed)
        sources = _sources(suite or [], data or [])
        versions = _versions(models)
    except (BadMethod, BadProblems) as error:
        raise typer.BadParameter(str(error)) from error
    asked = Evaluation(
        sources=sources,
        methods=methods,
        out=out or home() / "evaluations",
        target=target,
        limit=limit,
        shuffle=shuffle,
        concurrency=concurrency,
        patience_seconds=patience,
        dollars_per_million=price,
        models=versions,
    )
    raise typer.Exit(signals.run(_evaluate(asked, as_json=json, up=up)))


def _sources(names: list[str], data: list[Path]) -> "list[Source]":
    """Where the problems of each suite come from; a file given as --data is a suite of its own."""
    from trainer.evaluation.suites import find

    files = [str(path) for path in data if not path.is_dir()]
    wanted = [name for text in names for name in text.split(",") if name.strip()] + files
    if not wanted:
        raise typer.BadParameter("give the problems", param_hint="--suite")
    return [find(name.strip(), [path for path in data if path.is_dir()]) for name in wanted]


def _versions(text: str) -> dict[str, str]:
    """The versions of `policy=VERSION,ppm=VERSION`."""
    found: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        kind, equals, version = word.strip().partition("=")
        if kind not in ("policy", "ppm") or not equals or not version:
            raise typer.BadParameter(f"{word}: policy=VERSION,ppm=VERSION", param_hint="--models")
        found[kind] = version
    return found


async def _evaluate(asked: "Evaluation", *, as_json: bool, up: bool) -> int:
    from rich.console import Console

    from rstar.eval_view import View, rules_table, runs_table
    from rstar.stack.preflight import PreflightError
    from rstar.stack.supervisor import StartError
    from services.common.grading.grader import GraderUnavailable
    from trainer.evaluation.evaluate import evaluate as run_evaluation
    from trainer.evaluation.records import RunError
    from trainer.evaluation.runner import RunStopped
    from trainer.evaluation.service import ServiceAbsent
    from trainer.problems.problem import BadProblems

    err = Console(stderr=True, highlight=False)
    codes: dict[type[Exception], Exit] = {
        BadProblems: Exit.REFUSED,
        RunError: Exit.REFUSED,
        ServiceAbsent: Exit.UNREACHABLE,
        PreflightError: Exit.UNREACHABLE,
        StartError: Exit.UNREACHABLE,
        RunStopped: Exit.STOPPED,
        GraderUnavailable: Exit.STOPPED,
    }
    try:
        async with _served(asked, err, up=up) as served:
            with View(err) as view:
                summaries = await run_evaluation(served, view)
    except tuple(codes) as error:
        err.print(f"rstar: {error}", style="red", markup=False, soft_wrap=True)
        return codes[type(error)]
    if as_json:
        print(jsonlib.dumps([summary.model_dump() for summary in summaries], indent=2))
    else:
        console = Console(highlight=False)
        console.print(runs_table(summaries))
        if any(summary.rules for summary in summaries):
            console.print("\nright %, by answer rule:")
            console.print(rules_table(summaries))
    return Exit.FAILED if any(summary.failures for summary in summaries) else Exit.OK


@contextlib.asynccontextmanager
async def _served(asked: "Evaluation", err: "Console", *, up: bool) -> "AsyncIterator[Evaluation]":
    """The evaluation with the target that it is to use, for as long as it is used."""
    if not up:
        yield asked
        return
    from rstar.own_stack import own_stack
    from rstar.stack.config import StackConfig

    chosen = {"model": asked.models.get("policy"), "ppm": asked.models.get("ppm")}
    given = {name: version for name, version in chosen.items() if version}
    config = StackConfig(**given, port=0, grpc_port=0)  # type: ignore[arg-type]  # by name

    def note(text: str) -> None:
        err.print(text, style="dim", markup=False, soft_wrap=True)

    async with own_stack(config, "eval", note) as stack:
        yield dataclasses.replace(asked, target=f"{stack.at.host}:{stack.at.search}")


@app.command()
def suites() -> None:
    """List the benchmarks that have a name here, with their licences and where they come from."""
    from rich.console import Console

    from rstar.eval_view import suites_table
    from trainer.evaluation.suites import SUITES

    Console(highlight=False).print(suites_table(SUITES.values()))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another run on the same problems.")],
    rules: Annotated[
        str,
        typer.Option(
            help="Answer rule of both, or of each: majority, or majority,weighted; see the tables "
            "of a run.",
            show_default="each run's own",
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two runs problem by problem, with McNemar's exact test."""
    from rich.console import Console

    from rstar.eval_view import comparison_text
    from trainer.evaluation.evaluate import name_of
    from trainer.evaluation.records import RunError, read_records
    from trainer.evaluation.summary import compare as compare_records

    try:
        pair = _rules(rules)
        result = compare_records(read_records(first), read_records(second), pair)
        names = [
            f"{name_of(run)}{f' by {rule}' if rule else ''}"
            for run, rule in zip((first, second), pair, strict=True)
        ]
    except (RunError, ValueError) as error:
        Console(stderr=True).print(f"rstar: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(Exit.REFUSED) from error
    if json:
        print(jsonlib.dumps(result.model_dump(), indent=2))
    else:
        Console(highlight=False).print(comparison_text(result, *names), markup=False)


def _rules(text: str) -> tuple[str, str]:
    """The answer rules of two runs; one for both."""
    first, *rest = (word.strip() for word in text.split(","))
    if len(rest) > 1:
        raise typer.BadParameter("one or two", param_hint="--rules")
    return first, rest[0] if rest else first


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            file_okay=False,
            help="Folder of the page and its pictures. One in HOME/reports is linked from the live "
            "page.",
        ),
    ] = Path("report"),
) -> None:
    """Write a page: accuracy against tokens, the paper's figures, problems won and lost."""
    from rich.console import Console

    from trainer.evaluation.records import RunError
    from trainer.evaluation.report import read_run, write

    try:
        path = write([read_run(folder) for folder in runs], out)
    except (RunError, OSError) as error:
        Console(stderr=True).print(f"rstar: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(Exit.REFUSED) from error
    print(path)
