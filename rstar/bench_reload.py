"""`rstar bench reload`: exchanges of a model under load; see rstar.bench.reload."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def reload(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    swaps: Annotated[int, typer.Option(min=1, help="Exchanges.")] = 50,
    callers: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 16,
    store: Annotated[
        str | None, typer.Option(envvar="RSTAR_STORE", help="Model store that holds the model.")
    ] = None,
) -> None:
    """Exchange SmolLM2-135M and a variant of it under load: failures, labels, pauses, memory."""
    # Only here: other commands start faster without it.
    from rstar.bench.reload import measure, render
    from services.common.models.store import ModelStore

    with tempfile.TemporaryDirectory(prefix="rstar-reload-") as folder:
        figures = asyncio.run(measure(ModelStore(store), Path(folder), swaps, callers))
    print(json.dumps(figures, indent=2) if as_json else render(figures))
    raise typer.Exit(1 if figures["failed_requests"] or figures["mislabelled"] else 0)
