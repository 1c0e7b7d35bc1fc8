"""`rstar bench stopping`: what stopping early saves and costs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

_THRESHOLDS = (None, 0.8, 0.9, 0.95, 0.99)


def stopping(
    records: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a run of `rstar eval` with majority@K; may be given several times. "
            "Without one, votes are simulated.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=2, max=1000, help="Simulated: samples.")] = 16,
    problems: Annotated[int, typer.Option(min=1, help="Simulated: problems.")] = 2000,
    orders: Annotated[int, typer.Option(min=1, help="Random orders of a problem's votes.")] = 20,
    seed: Annotated[int, typer.Option(help="Of orders and simulation.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Replay the votes of recorded samples and stop early: samples saved, answers changed."""
    from trainer.evaluation.records import RunError, read_records
    from trainer.evaluation.stopping import measure, polls, simulated_polls

    try:
        runs = [read_records(path) for path in records or ()]
    except RunError as error:
        raise typer.BadParameter(str(error), param_hint="--records") from error
    found = [poll for run in runs for poll in polls(run.values())]
    if records and not found:
        raise typer.BadParameter("no problem with two samples", param_hint="--records")
    source = "records" if records else "simulation"
    votes = found or simulated_polls(problems, samples, seed)
    figures = {
        "source": source,
        "problems": len(votes),
        "samples": sum(len(poll.votes) for poll in votes),
        "orders": orders,
        "outcomes": [asdict(one) for one in measure(votes, _THRESHOLDS, orders, seed)],
    }
    print(json.dumps(figures, indent=2) if as_json else render(figures))


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    counted = ", ".join(f"{figures[what]} {what}" for what in ("problems", "samples", "orders"))
    lines = [
        f"{figures['source']}: {counted}",
        f"{'stop at':>10} {'saved':>8} {'changed':>8} {'accuracy':>8} {'of all':>8}",
    ]
    for one in figures["outcomes"]:
        name = "settled" if one["threshold"] is None else f"{one['threshold']:g}"
        shares = [one[key] for key in ("saved", "changed", "accuracy", "full_accuracy")]
        cells = "".join(f"{share:>9.1%}" for share in shares)
        lines.append(f"{name:>10}{cells}")
    return "\n".join(lines)
