"""Commands of `rstar bench`; what they need is imported when they run."""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def search(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    levels: Annotated[str, typer.Option(help="Problems at once, with commas.")] = "1,8,32,200",
    nodes: Annotated[int, typer.Option(min=64, help="Nodes of a round, in all its trees.")] = 4000,
    growth: Annotated[int, typer.Option(min=0, help="Nodes of one large tree; 0: none.")] = 5000,
    seconds: Annotated[
        float, typer.Option(min=1, help="Most of a round, and the budget of each search.")
    ] = 20.0,
    extras: Annotated[
        bool, typer.Option(help="Also whole trajectories, and the search without a sandbox.")
    ] = True,
) -> None:
    """Measure the search: nodes a second, its cost in Redis and CPU, flat or not."""
    from rstar.bench import search

    counts = _counts(levels, "--levels", "problem")
    figures = asyncio.run(search.measure(counts, nodes, growth, seconds, extras=extras))
    print(json.dumps(figures, indent=2) if as_json else search.render(figures))


def sampler(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    batches: Annotated[str, typer.Option(help="Sequences at once, with commas.")] = "1,8,32,128",
    vocabulary: Annotated[int, typer.Option(min=2, help="Tokens.")] = 151_936,
    rounds: Annotated[int, typer.Option(min=2, help="Turns of each that are counted.")] = 20,
) -> None:
    """Measure what drawing tokens costs on a CPU, by vLLM's sampler and by ours in turns."""
    from rstar.bench import sampler

    figures = sampler.measure(_counts(batches, "--batches", "sequence"), vocabulary, rounds)
    print(json.dumps(figures, indent=2) if as_json else sampler.render(figures))


def _counts(given: str, option: str, what: str) -> list[int]:
    """Whole numbers of 1 or more with commas between."""
    try:
        counts = [int(part) for part in given.split(",")]
    except ValueError as error:
        raise typer.BadParameter("numbers with commas between", param_hint=option) from error
    if min(counts) < 1:
        raise typer.BadParameter(f"1 or more {what}s", param_hint=option)
    return counts


def engine(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    model: Annotated[str, typer.Option(help="Version in the model store.")] = "qwen2.5-coder-0.5b",
    file: Annotated[
        Path, typer.Option(help='Problems, one JSON object a line: {"id", "question", "answer"}.')
    ] = Path("examples/problems.jsonl"),
    problems: Annotated[int, typer.Option(min=1, help="Searches at once.")] = 16,
    warm_up: Annotated[float, typer.Option(min=1, help="Seconds that are not counted.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds that are counted.")] = 30.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of the search and the batch.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in the engine at once.")] = 32,
    candidate_tokens: Annotated[int, typer.Option(min=16, help="Most tokens of one.")] = 128,
    expansion: Annotated[str, typer.Option(help="step or trajectory.")] = "step",
    candidates: Annotated[int, typer.Option(min=1, help="Candidates at each expansion.")] = 8,
) -> None:
    """Measure how much of the engine's rate the search draws, with a real model."""
    from rstar.bench import engine
    from trainer.problems.files import read_problems
    from trainer.problems.problem import BadProblems

    try:
        questions = [one.question for one in read_problems(file, answered=False)]
    except BadProblems as error:
        raise typer.BadParameter(str(error), param_hint="--file") from error
    options = {"expansion": expansion, "candidates": candidates}
    plan = engine.Plan(
        *(model, questions, problems, warm_up, seconds, rounds, batch, candidate_tokens),
        search=options,
    )
    figures = asyncio.run(engine.measure(plan))
    print(json.dumps(figures, indent=2) if as_json else engine.render(figures))


def load(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    users: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Requests of each user.")] = 1,
    tokens: Annotated[int, typer.Option(min=1, help="Budget of each: one token a step.")] = 64,
) -> None:
    """Put the stack under load with k6 (in the extra `dev`): failures, overhead, memory."""
    from rstar.bench import load

    program = shutil.which("k6")
    if program is None or not load.SCRIPT.exists():
        raise typer.BadParameter("needs k6 on the PATH, and a checkout of the sources")
    figures = asyncio.run(load.measure(program, users, rounds, tokens))
    print(json.dumps(figures, indent=2) if as_json else load.render(figures))
    raise typer.Exit(1 if figures["failed"] else 0)


def harvest(
    problems: Annotated[int, typer.Option(min=10, help="Problems, one search each.")] = 10_000,
    workers: Annotated[int, typer.Option(min=1, help="Workers in all.")] = 64,
    processes: Annotated[int, typer.Option(min=1, help="Processes that they are spread over.")] = (
        16
    ),
    kill: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the workers that is killed.")
    ] = 0.1,
    nodes: Annotated[int, typer.Option(min=5, help="Nodes of each tree.")] = 40,
    lease: Annotated[float, typer.Option(min=1, help="Seconds that an item is held.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the moments of the kills.")] = 0,
) -> None:
    """Simulate a harvest with workers that are killed, and see every problem done once.

    Prints JSON. Exit code 1 where a problem is not done exactly once.
    """
    from rstar.bench.harvest import Simulation, simulate

    asked = Simulation(problems, workers, processes, kill, nodes, lease, seed)
    with tempfile.TemporaryDirectory(prefix="rstar-bench-") as home:
        figures = asyncio.run(simulate(asked, Path(home)))
    print(json.dumps(figures, indent=2))
    if figures["done_once"] != problems or figures["failed"]:
        raise typer.Exit(1)


def reload(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    swaps: Annotated[int, typer.Option(min=1, help="Exchanges of each model.")] = 50,
    callers: Annotated[int, typer.Option(min=1, help="Solves, or calls, in flight.")] = 16,
    wait: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds that an exchange waits; the service's own by default."),
    ] = None,
    calls: Annotated[
        bool,
        typer.Option(
            "--calls", help="Call a policy of SmolLM2-135M alone, rather than solve whole problems."
        ),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(envvar="RSTAR_STORE", help="With --calls: model store that holds the model."),
    ] = None,
) -> None:
    """Exchange policy and PPM under load: failures, labels by content, pauses, memory."""
    from rstar.bench import reload as by_calls
    from rstar.bench import reload_solves as by_solves
    from services.common.models.store import ModelStore

    with tempfile.TemporaryDirectory(prefix="rstar-reload-") as name:
        folder = Path(name)
        if calls:
            asked = by_calls.measure(ModelStore(store), folder, swaps, callers, wait)
        else:
            asked = by_solves.measure(folder, swaps, callers, wait)
        figures = asyncio.run(asked)
    render = by_calls.render if calls else by_solves.render
    print(json.dumps(figures, indent=2) if as_json else render(figures))
    raise typer.Exit(1 if figures["failed_requests"] or figures["mislabelled"] else 0)


def tracing(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    rounds: Annotated[int, typer.Option(min=2, help="Turns of each way to trace.")] = 8,
    problems: Annotated[int, typer.Option(min=1, help="Problems at once.")] = 8,
    nodes: Annotated[int, typer.Option(min=64, help="Nodes of a turn, in all its trees.")] = 800,
) -> None:
    """Measure what traces cost: off, at the default share, and all of them."""
    try:
        from rstar.bench import tracing
    except ImportError as error:
        raise typer.BadParameter(f"needs the extra `tracing`: {error}") from error

    figures = asyncio.run(tracing.measure(tracing.Turns(rounds, problems, nodes)))
    print(json.dumps(figures, indent=2) if as_json else tracing.render(figures))
