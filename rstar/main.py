"""The command `rstar`. What a command needs is imported when it runs, so that --help is quick."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rstar import (
    backup,
    evaluate,
    evolve,
    harvest,
    keys,
    models,
    select,
)
from rstar.bench import cli as bench_cli
from rstar.bench import sandbox as bench_sandbox
from rstar.bench import stopping as bench_stopping
from services.common import logs

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="rStar-Math as a platform: a small language model that reasons by searching.",
)
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="eval")
app.add_typer(evolve.app, name="evolve")
app.add_typer(keys.app, name="keys")
app.add_typer(backup.app, name="backup")
app.command()(harvest.harvest)
app.command()(select.select)

bench = typer.Typer(no_args_is_help=True, help="Measure what the parts cost on this machine.")
bench.command("harvest")(bench_cli.harvest)
bench.command("sandbox")(bench_sandbox.sandbox)
bench.command("search")(bench_cli.search)
bench.command("reload")(bench_cli.reload)
bench.command("sampler")(bench_cli.sampler)
bench.command("engine")(bench_cli.engine)
bench.command("load")(bench_cli.load)
bench.command("tracing")(bench_cli.tracing)
bench.command("stopping")(bench_stopping.stopping)
app.add_typer(bench, name="bench")


class LogFormat(StrEnum):
    """How log lines look."""

    console = "console"
    json = "json"


class Service(StrEnum):
    """What `rstar serve` can run."""

    sandbox = "sandbox"
    policy = "policy"
    ppm = "ppm"
    search = "search"


class AnswerRule(StrEnum):
    """How an answer is chosen."""

    best = "best"
    majority = "majority"
    weighted = "weighted"


class Method(StrEnum):
    """How a budget is spent."""

    mcts = "mcts"
    beam = "beam"
    best_of_n = "best_of_n"
    majority = "majority"
    greedy = "greedy"


class Expansion(StrEnum):
    """How far a candidate runs."""

    step = "step"
    trajectory = "trajectory"


Home = Annotated[
    Path | None,
    typer.Option(envvar="RSTAR_HOME", help="Folder of models, data and logs.", show_default=False),
]
Model = Annotated[
    str, typer.Option(envvar="RSTAR_POLICY_MODEL", help="Model that the policy serves.")
]
Ppm = Annotated[
    str,
    typer.Option(
        envvar="RSTAR_PPM_MODEL",
        help="Model that the PPM serves; auto: the one that comes along for the policy, if there "
        "is one and memory for it; none: unguided.",
    ),
]
DEFAULT_MODEL = "qwen2.5-coder-0.5b"
AUTO = "auto"


def _use_home(home: Path | None) -> Path:
    """The home folder, for this process and its children."""
    from services.common import home as default

    if home is not None:
        os.environ["RSTAR_HOME"] = str(home)
    return default.home()


@app.command()
def up(
    model: Model = DEFAULT_MODEL,
    ppm: Ppm = AUTO,
    host: Annotated[str, typer.Option(help="IPv4 address of the REST API.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the REST API; 0 takes a free one.")
    ] = 8000,
    grpc_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65532,
            help="First of four ports: search, policy, PPM, sandbox; 0 takes free ones.",
        ),
    ] = 50050,
    redis_url: Annotated[
        str, typer.Option(help="A Redis of your own instead of the one that comes along.")
    ] = "",
    log_format: Annotated[LogFormat, typer.Option(help="Lines for people or machines.")] = (
        LogFormat.console
    ),
    start_seconds: Annotated[
        float, typer.Option(min=1, max=86_400, help="How long a model may take to load.")
    ] = 600.0,
    policy_module: Annotated[
        str,
        typer.Option(
            help="Python module in the policy's place, such as services.policy.endpoint; --model "
            "is then left aside."
        ),
    ] = "services.policy",
    policy_prefix: Annotated[
        str, typer.Option(help="That module's settings are RSTAR_<PREFIX>_<FIELD>.")
    ] = "policy",
    home: Home = None,
) -> None:
    """Run the whole stack on this machine until Ctrl-C: Redis, sandbox, policy, PPM, search."""
    from rstar import signals
    from rstar.stack.config import StackConfig
    from rstar.up import up as run_stack

    config = StackConfig(
        model=model,
        policy_module=policy_module,
        policy_prefix=policy_prefix,
        ppm=ppm,
        host=host,
        port=port,
        grpc_port=grpc_port,
        redis_url=redis_url,
        home=_use_home(home),
        log_format=log_format.value,
        start_seconds=start_seconds,
    )
    code = signals.run(run_stack(config))
    # Being told to stop is how this command ends well.
    raise typer.Exit(0 if code == signals.INTERRUPTED else code)


@app.command()
def solve(
    problem: Annotated[str | None, typer.Argument(help="The problem, as text or LaTeX.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help='Problems, one JSON object a line: {"id", "question", "answer"}.'),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(envvar="RSTAR_URL", help="The service.", show_default="http://127.0.0.1:8000"),
    ] = None,
    rollouts: Annotated[int | None, typer.Option(help="Budget of rollouts.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Budget of new tokens.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Budget of seconds.")] = None,
    ladder: Annotated[
        list[int] | None,
        typer.Option(
            help="A rung of a ladder of rollouts, where the search stops if its answer is "
            "confident; several times, rising.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[Method | None, typer.Option(help="How the budget is spent.")] = None,
    trees: Annotated[int | None, typer.Option(help="Trees from different seeds.")] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Stop when the answer's posterior has reached this.")
    ] = None,
    candidates: Annotated[int | None, typer.Option(help="Candidates at each expansion.")] = None,
    depth: Annotated[int | None, typer.Option(help="Most steps of a solution.")] = None,
    exploration: Annotated[float | None, typer.Option(help="Constant c of UCT.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the policy's sampling.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Expansions in flight at once.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all sampling.")] = None,
    answer: Annotated[AnswerRule | None, typer.Option(help="How the answer is chosen.")] = None,
    expansion: Annotated[Expansion | None, typer.Option(help="How far a candidate runs.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a problem.")] = False,
    up: Annotated[
        bool, typer.Option("--up", help="Start a stack on free ports for it, and stop it after.")
    ] = False,
    model: Model = DEFAULT_MODEL,
    ppm: Ppm = AUTO,
    home: Home = None,
) -> None:
    """Solve one problem, or a file of them, and print how.

    Budgets and options that are not given are the service's own. Exit codes: 0 every problem was
    searched, whether its answer is right or not; 1 the stack could not be started or a search
    failed; 2 bad options, a bad file or a refused problem; 3 nothing answers at the URL; 4 the
    service is too busy or misses a dependency; 130 interrupted.
    """
    from rstar import signals
    from rstar.client import DEFAULT_URL
    from rstar.solve import SolveRun
    from rstar.solve import solve as run_problems
    from rstar.stack.config import StackConfig
    from trainer.problems.files import read_problems
    from trainer.problems.problem import BadProblems, Problem

    given = [] if problem is None else [Problem("", problem, "")]
    if (file is None) == (problem is None):
        raise typer.BadParameter("give either a problem or --file")
    if file is not None:
        try:
            given = read_problems(file, answered=False)
        except BadProblems as error:
            raise typer.BadParameter(str(error)) from error
    own = StackConfig(model=model, ppm=ppm, port=0, grpc_port=0, home=_use_home(home))
    asked = SolveRun(
        problems=given,
        url=url or DEFAULT_URL,
        budget=_given(rollouts=rollouts, tokens=tokens, seconds=seconds, ladder=ladder or None),
        search=_given(
            method=method,
            trees=trees,
            confidence=confidence,
            candidates=candidates,
            depth=depth,
            exploration=exploration,
            temperature=temperature,
            parallel=parallel,
            seed=seed,
            answer=answer,
            expansion=expansion,
        ),
        as_json=json,
        stack=own if up else None,
    )
    raise typer.Exit(signals.run(run_problems(asked)))


def _given(**options: Any) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


@app.command()
def top(
    url: Annotated[str, typer.Option(help="Of the search service.")] = "http://127.0.0.1:8000",
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Address of another service's metrics; may be given several times."),
    ] = None,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two readings.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=0, help="Readings to show; 0 goes on.")] = 0,
) -> None:
    """Watch services, versions, running searches and rates; Ctrl-C ends."""
    from rstar.top import watch

    watch(url, metrics or [], every, rounds)


@app.command()
def serve(service: Annotated[Service, typer.Argument(help="Which one.")]) -> None:
    """Run one service in the foreground; its settings are variables RSTAR_<SERVICE>_<FIELD>."""
    from rstar.stack.services import service_command

    command = service_command(service.value)
    os.execv(command[0], command)  # noqa: S606 - the service takes this process' place


def main() -> None:
    """Run the command line; logs go to standard error, since output may be read as JSON."""
    logs.configure("rstar", "warning")
    app()


if __name__ == "__main__":
    main()
